"""T5 on the token tree against transformers' own forward: encoder, decoder paths, users, files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForSeq2SeqLM, T5ForConditionalGeneration

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.capabilities import ReadsPrompts
from lasar_kit.core.chains import follow
from lasar_kit.core.lesson import Prompts
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_kit.spec import load_spec
from lasar_plugins.backbone.t5.backbone import T5
from lasar_plugins.backbone.t5.config import T5Config

TOKENS = ("<a_0>", "<a_1>", "<b_0>", "<b_1>")
SMALL = {"hidden_size": 8, "layers": 2, "heads": 2, "head_dim": 6, "intermediate_size": 16}


def model(checkpoint: Path | None = None, tokens: tuple[str, ...] = TOKENS, **options: object) -> T5:
    config = T5Config.model_validate({"use": "t5", **SMALL, **options})
    return T5(config, Env(seed=3, vocabulary=tokens, checkpoint=checkpoint)).eval()


def prompts(rows: list[list[int]], users: list[int] | None = None) -> Prompts:
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    last = torch.full((len(rows), 1), width - 1)
    lengths = torch.tensor([len(row) for row in rows])
    mask = torch.ones_like(last).bool()
    asked = None if users is None else torch.tensor(users)
    return Prompts(ids, lengths, last, mask, lengths[:, None], torch.zeros(0).long(), users=asked)


def plain(net: T5, read: list[int], spelled: list[int]) -> Tensor:
    """Logits of one row, unpadded, by transformers."""
    with torch.no_grad():
        found = net.model(
            input_ids=torch.tensor([read]),
            decoder_input_ids=torch.tensor([[net.tokenizer.pad_token_id, *spelled]]),
        )
    logits: Tensor = found.logits[0]
    return logits


def test_answers_are_spelled_as_transformers_spells_them() -> None:
    """Rows of different lengths, branches that share what they begin with, in two calls."""
    net, rows = model(), [[3, 5, 4, 6, 3, 5], [4, 6]]
    assert isinstance(net, ReadsPrompts)
    read = net.read_prompts(prompts(rows))
    answers = torch.tensor([[[3, 5], [3, 6], [4, 5]], [[4, 6], [3, 3], [5, 4]]])
    tip = read.tip.expand(-1, 3)
    first, tips, context = follow(net, answers[..., :1], tip, read.context)
    second, _, _ = follow(net, answers[..., 1:], tips, context)
    states = torch.cat([read.h0[:, :, None].expand(-1, 3, -1, -1), first, second], dim=2)
    for place, row in enumerate(rows):
        for branch, answer in enumerate(answers[place].tolist()):
            torch.testing.assert_close(net.logits(states[place, branch]), plain(net, row, answer))
    at_once, _, _ = follow(net, answers, tip, read.context)
    torch.testing.assert_close(at_once, states[:, :, 1:])


def test_what_the_encoder_read_is_told_as_states() -> None:
    net, rows = model(), [[3, 5, 4], [6]]
    read = net.read_prompts(prompts(rows))
    for place, row in enumerate(rows):
        alone = net.model.encoder(input_ids=torch.tensor([row])).last_hidden_state[0]
        torch.testing.assert_close(read.states[place, read.mask[place, 0]], alone)


@pytest.mark.parametrize("known", [[7, 12], [-1, 3], None])
def test_a_prompt_begins_with_its_user(known: list[int] | None) -> None:
    """Row n of the data set is token n modulo their number; one unknown has none."""
    net, rows = model(users=5), [[3, 5, 4], [6]]
    read = net.read_prompts(prompts(rows, known))
    for place, (row, user) in enumerate(zip(rows, known or [-1, -1], strict=True)):
        token = net.tokenizer.convert_tokens_to_ids(f"<user_{user % 5}>")
        whole = row if user < 0 else [token, *row]
        torch.testing.assert_close(net.logits(read.h0[place]), plain(net, whole, []))
        assert int(read.mask[place].sum()) == len(whole)


def test_gradients_reach_all_weights_as_in_transformers() -> None:
    net, other = model(), model()
    read = net.read_prompts(prompts([[3, 5, 4]]))
    states, _, _ = follow(net, torch.tensor([[[4, 6]]]), read.tip, read.context)
    net.logits(states).logsumexp(-1).sum().backward()
    found = other.model(input_ids=torch.tensor([[3, 5, 4]]), decoder_input_ids=torch.tensor([[0, 4, 6]]))
    found.logits[0, 1:].logsumexp(-1).sum().backward()
    for (name, ours), theirs in zip(net.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=name)


def test_it_is_drawn_as_transformers_draws_it() -> None:
    """Standard deviations by matrix, of a model large enough to tell."""
    ours = model(hidden_size=64, intermediate_size=256, head_dim=24, heads=4).model
    theirs = T5ForConditionalGeneration(ours.config)
    for (name, weight), drawn in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if weight.numel() > 1000:
            stds = [float(each.detach().std()) for each in (weight, drawn)]
            assert stds[0] == pytest.approx(stds[1], rel=0.1), name
        elif weight.ndim == 1:
            assert torch.equal(weight, drawn)


def test_what_it_saves_is_loaded_by_transformers_and_grows(tmp_path: Path) -> None:
    """Tokens that come later have rows of their own, and leave those before as they are."""
    net = model(users=3)
    net.save(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        logits = loaded(input_ids=torch.tensor([[3, 4]]), decoder_input_ids=torch.tensor([[0, 5]])).logits
    torch.testing.assert_close(logits[0], plain(net, [3, 4], [5]))
    grown = model(tmp_path, (*TOKENS, "<|lat_s|>"), users=3)
    assert len(grown.tokenizer) == len(net.tokenizer) + 1
    torch.testing.assert_close(plain(grown, [3, 4], [5])[:, :-1], plain(net, [3, 4], [5]))
    assert torch.equal(grown.users, net.users)


def test_packed_histories_are_refused(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    stages = "{tokenize: {use: tokenize, quantizer: item_id}, t: {use: sft, samples: packed}}"
    spec.write_text(f"backbone: t5\nstages: {stages}\n")
    with pytest.raises(
        UserError, match=r"packed reads many prompts in one pass, and t5 cannot; set 'sliding'"
    ):
        load_spec(spec, (), Catalogue.discover())
