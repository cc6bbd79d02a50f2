"""The checks, a module a kind, and those that all kinds share."""

from __future__ import annotations

from lasar_kit.errors import UserError, nearest
from lasar_kit.testing.checks import common, loop_abilities, moved_policy
from lasar_kit.testing.checks.aligner import aligner
from lasar_kit.testing.checks.backbone import backbone
from lasar_kit.testing.checks.dataset import dataset
from lasar_kit.testing.checks.decoder import decoder
from lasar_kit.testing.checks.depth_policy import depth_policy
from lasar_kit.testing.checks.hook import hook
from lasar_kit.testing.checks.latent_loop import latent_loop
from lasar_kit.testing.checks.prompt import prompt
from lasar_kit.testing.checks.quantizer import quantizer
from lasar_kit.testing.checks.ranker import ranker
from lasar_kit.testing.checks.reward import reward
from lasar_kit.testing.checks.rl_objective import rl_objective
from lasar_kit.testing.checks.segmenter import segmenter
from lasar_kit.testing.checks.sft_objective import sft_objective
from lasar_kit.testing.checks.teacher import teacher
from lasar_kit.testing.checks.text_encoder import text_encoder
from lasar_kit.testing.contract import Check, Contract

assert moved_policy.rl_objective is rl_objective  # its laws are added by importing it
assert loop_abilities.latent_loop is latent_loop

CONTRACTS: dict[str, Contract] = {
    contract.kind: contract
    for contract in (
        quantizer,
        backbone,
        latent_loop,
        depth_policy,
        aligner,
        sft_objective,
        rl_objective,
        decoder,
        dataset,
        text_encoder,
        prompt,
        teacher,
        segmenter,
        reward,
        ranker,
        hook,
    )
}


def checks_for(kind: str) -> tuple[Check, ...]:
    """The checks of a kind, those that all kinds share first; `UserError` for a kind without a contract."""
    if kind not in CONTRACTS:
        raise UserError(f"no checks for kind {kind!r}; {nearest(kind, CONTRACTS)}")
    contract = CONTRACTS[kind]
    return (*common.checks(contract), *contract.checks)
