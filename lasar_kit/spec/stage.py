"""The base of options of a stage, by which a spec knows what it reads, makes and trains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from lasar_kit.spec.component import ComponentConfig
from lasar_kit.spec.held import Held

if TYPE_CHECKING:
    from lasar_kit.spec.bases import (
        BackboneConfig,
        DecoderConfig,
        DepthPolicyConfig,
        LatentLoopConfig,
        QuantizerConfig,
    )


class StageConfig(ComponentConfig):
    """Options of one stage, and the artifact types it reads and writes.

    `consumes` must be there when the stage runs, `accepts` may be, `produces` is what it leaves behind.
    `longest_list` is the length of the lists that it measures: `check` warns of a narrower decoder.
    `reads` names the top-level keys of the spec that it depends on, besides its own options; `unread` the
    options of the components there that it does without. A `sharded` stage runs on every process of a run and
    writes on the main one; any other runs there alone. A `stoppable` one ends early where a hook says so.
    """

    reads: ClassVar[tuple[str, ...]] = ("seed",)
    unread: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    consumes: ClassVar[tuple[str, ...]] = ()
    accepts: ClassVar[tuple[str, ...]] = ()
    produces: ClassVar[str] = ""
    sharded: ClassVar[bool] = False
    longest_list: ClassVar[int] = 0
    stoppable: ClassVar[bool] = False

    @property
    def needs(self) -> tuple[str, ...]:
        """Artifact types that its options ask for besides those that it always consumes."""
        return ()

    @property
    def implied(self) -> tuple[ComponentConfig, ...]:
        """Components that its options imply beside those they name; their code is in the stage's key."""
        return ()

    @property
    def listed(self) -> tuple[Any, ...]:
        """The weighted objectives that its options list, each with its `objective`."""
        return ()

    @property
    def trains_text(self) -> bool:
        """Whether a backbone may have learnt from text behind it."""
        return True

    @property
    def begins_anew(self) -> bool:
        """Whether what stages before it trained is thrown away."""
        return False

    @property
    def policy(self) -> DepthPolicyConfig | None:
        """The depth policy of the model behind it; None where it leaves that as it is."""
        return None

    def teaches_depth(self, inputs: Mapping[str, tuple[str, StageConfig]]) -> bool:
        """Say whether the model's depth policy learns in it, reading from these stages (as in `cautions`)."""
        return False

    @property
    def prompts_about(self) -> str | None:
        """The rule of the prompts that its artifact is about; None where it is about none."""
        return None

    @property
    def own_decoder(self) -> DecoderConfig | None:
        """The decoder that it ranks with instead of the spec's; None where it ranks with that."""
        return None

    @property
    def own_quantizer(self) -> QuantizerConfig | None:
        """The quantizer of the SIDs that it makes; None where it makes none, or takes them from elsewhere."""
        return None

    @property
    def own_reader(self) -> ComponentConfig | None:
        """The language model that read what it holds of texts, if not the model of the checkpoint."""
        return None

    @property
    def own_aligner(self) -> ComponentConfig | None:
        """The aligner that holds thoughts to anchors, where there are any; None where none does."""
        return None

    @property
    def leaves_out_history(self) -> bool | None:
        """Whether lists that it reports on leave out a user's history; None where it makes no lists."""
        return None

    from_: str | None = Field(
        default=None,
        alias="from",
        description="Earlier stage to read from; the nearest that fits when absent.",
    )

    def cautions(
        self,
        backbone: BackboneConfig,
        line: Sequence[tuple[str, StageConfig]],
        inputs: Mapping[str, tuple[str, StageConfig]],
    ) -> Iterator[str]:
        """Warn of what is allowed but hardly meant, a line each.

        `line` are the stages that the checkpoint it reads has gone through, by name, the latest first;
        `inputs` the stages it reads from, by type of artifact.
        """
        yield from ()

    @property
    def holds_out(self) -> Held | None:
        """Items that no stage of its run may learn from; None where it needs none held out."""
        return None

    @property
    def loop(self) -> LatentLoopConfig | None:
        """The latent loop of the model behind it; None where it leaves that as it is."""
        return None

    def mistakes(self, around: Around) -> Iterator[tuple[str, str]]:
        """Options that cannot be what they are among the rest of the spec: the option, and what is wrong."""
        yield from ()


@dataclass(frozen=True)
class Around:
    """The surroundings of a stage in a spec.

    `line` are the stages that the checkpoint it reads has gone through, by name, the latest first; `inputs`
    the stages it reads from, by type of artifact.
    """

    line: Sequence[tuple[str, StageConfig]]
    inputs: Mapping[str, tuple[str, StageConfig]]
    backbone: BackboneConfig
    decoder: DecoderConfig

    @property
    def policy(self) -> DepthPolicyConfig | None:
        """The depth policy of the checkpoint."""
        return next((stage.policy for _, stage in self.line if stage.policy is not None), None)

    @property
    def loop(self) -> LatentLoopConfig | None:
        """The latent loop of the checkpoint."""
        return next((stage.loop for _, stage in self.line if stage.loop is not None), None)
