"""A small catalogue and a small recommender for engine tests."""

from collections.abc import Callable

import pytest
import torch

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.values import Env
from lasar_kit.data.sids import Sids
from lasar_kit.model.parts import Parts
from lasar_kit.model.recommender import Recommender

SIZES = (5, 4, 3)


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue.discover()


@pytest.fixture(scope="session")
def sids() -> Sids:
    """Thirty items, each with a SID of its own."""
    leaves = torch.randperm(60, generator=torch.Generator().manual_seed(3))[:30]
    return Sids(torch.stack([leaves // 12, leaves // 3 % 4, leaves % 3], dim=1), SIZES)


@pytest.fixture
def build(catalogue: Catalogue, sids: Sids) -> Callable[..., Recommender]:
    """Builds a recommender of 2 layers and width 16 with a prompt of the given name; it may think."""

    def make(
        prompt: str | dict[str, str] = "sid_only",
        max_history: int = 6,
        sids: Sids = sids,
        thinks: bool = False,
        **backbone: object,
    ) -> Recommender:
        def config(kind: str, name: str, **options: object):  # type: ignore[no-untyped-def]
            return catalogue.config_class(kind, name).model_validate(
                {"use": name, **options}, context={"catalogue": catalogue}
            )

        sizes = {"hidden_size": 16, "layers": 2, "heads": 2, "text_vocabulary": 300, "initializer_std": 0.2}
        parts = Parts(
            config("backbone", "qwen3", **{**sizes, **backbone}),
            config("prompt", **prompt) if isinstance(prompt, dict) else config("prompt", prompt),
            config("latent_loop", "coconut" if thinks else "none"),
            config("depth_policy", "mlp" if thinks else "none"),
            max_history,
        )
        env = Env(seed=5, vocabulary=sids.vocabulary, corpus=lambda: ["soap and brush"])
        decoder = config("decoder", "trie_beam", width=10)
        return Recommender.build(catalogue, parts, decoder, sids, env).eval()

    return make
