"""The recurrent latent loop (paper section 2.2, Eq. 3; Algorithm 1 lines 4 to 8) on the token tree.

After Coconut (Hao et al. 2024, arXiv:2412.06769).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from lasar_kit.core.feedback import StepEmbedding, fed_norm, rescale
from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.values import Env, Prompt
from lasar_plugins.latent_loop.coconut.config import CoconutConfig
from lasar_plugins.latent_loop.coconut.feedback import Projection
from lasar_plugins.latent_loop.coconut.thoughts import Step, ThoughtLoop


class CoconutLoop(ThoughtLoop):
    """Thought t is fed h_{t-1} in place of a token embedding and yields h_t.

    h_0 is the state at `<|lat_s|>` or, by option, the prompt's last; a branch of depth 0 leaves from
    `<|lat_s|>`, and where its exit is fed h_N it is fed h_0. Full backpropagation through time, cached keys
    and values included, unless `detach` cuts the feedback.
    """

    def __init__(self, config: CoconutConfig, env: Env) -> None:
        super().__init__(config, env)
        self.config = config
        self.projection = Projection(env.hidden_size) if config.feedback_scale == "projection" else None
        self.positions = StepEmbedding(env.hidden_size, env.seed) if config.positions else None

    def before_all(self, prompt: Prompt, start: Float[Tensor, "B R D"]) -> Float[Tensor, "B R D"]:
        """By `h0`."""
        return prompt.h0 if self.config.h0 == "prompt_last" else start

    def norm(self, backbone: Backbone) -> Float[Tensor, ""] | None:
        """The norm to rescale to, if any."""
        return fed_norm(backbone, self.config.feedback_scale)

    def fed(
        self, h: Float[Tensor, "B R D"], step: Step, prompt: Prompt, norm: Float[Tensor, ""] | None
    ) -> Float[Tensor, "B R D"]:
        """The state before it, as an input."""
        if self.config.detach:
            h = h.detach()
        if self.projection is not None:
            h = self.projection(h)
        elif norm is not None:
            h = rescale(h, norm)
        return h if self.positions is None else h + self.positions(step).to(h.dtype)
