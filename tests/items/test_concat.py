"""The concatenation of encoders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.values import Env
from lasar_kit.spec import ComponentConfig
from lasar_plugins.text_encoder.concat.config import ConcatConfig, Part
from lasar_plugins.text_encoder.concat.encoder import ConcatEncoder


class Given(ComponentConfig):
    rows: tuple[tuple[float, ...], ...]


class GivenEncoder:
    def __init__(self, config: Given, env: Env) -> None:
        self.config, self.env = config, env

    def encode(self, items, train) -> np.ndarray:
        return np.array(self.config.rows, dtype=np.float32)


def build(kind: str, config: ComponentConfig, env: Env) -> GivenEncoder:
    assert kind == "text_encoder"
    assert isinstance(config, Given)
    return GivenEncoder(config, env)


class Source:
    def config_class(self, kind: str, name: str) -> type[ComponentConfig]:
        assert (kind, name) == ("text_encoder", "given")
        return Given


def test_parts_are_scaled_to_their_weights(catalogue) -> None:
    first = Given(use="given", rows=((3, 4), (0, 0)))
    second = Given(use="given", rows=((5,), (-2,)))
    config = ConcatConfig(
        use="concat", encoders=(Part(encoder=first, weight=2.0), Part(encoder=second, weight=0.5))
    )
    env = Env(build=build, seed=7)
    encoder = ConcatEncoder(config, env)
    vectors = encoder.encode(catalogue(title=["x", "y"]), Sequences.of([]))
    np.testing.assert_allclose(vectors, [[1.2, 1.6, 0.5], [0, 0, -0.5]], atol=1e-6)
    assert vectors.dtype == np.float32
    assert [part.env.seed for _, part in encoder.parts] == [7, 7]


def test_as_written_in_a_spec() -> None:
    text = {"use": "concat", "encoders": [{"encoder": {"use": "given", "rows": [[1]]}, "weight": 3}]}
    config = ConcatConfig.model_validate(text, context={"catalogue": Source()})
    assert config.encoders[0].encoder == Given(use="given", rows=((1.0,),))
    assert config.encoders[0].weight == 3


@pytest.mark.parametrize(
    "encoders", [[], [{"weight": 1}], [{"encoder": {"use": "given", "rows": []}, "weight": 0}]]
)
def test_mistakes(encoders: list) -> None:
    with pytest.raises(ValidationError):
        ConcatConfig.model_validate({"use": "concat", "encoders": encoders}, context={"catalogue": Source()})


class LaterEncoder(GivenEncoder):
    """Fits how many items it saw, and gives that to items that come later."""

    embeds_later = True

    def encode(self, items, train) -> np.ndarray:
        self.seen = torch.tensor([items.height])
        return super().encode(items, train)

    def embed(self, items) -> np.ndarray:
        return np.full((items.height, 2), float(self.seen), dtype=np.float32)

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.seen = state["seen"]


def test_parts_that_embed_nothing_later_stay_zero(catalogue) -> None:
    rows = Given(use="given", rows=((3, 4), (0, 1)))
    later = Given(use="later", rows=((1, 0), (0, 1)))

    def made(kind: str, config: ComponentConfig, env: Env) -> GivenEncoder:
        assert isinstance(config, Given)
        return (LaterEncoder if config.use == "later" else GivenEncoder)(config, env)

    def concat(*parts: Given) -> ConcatEncoder:
        weighed = tuple(Part(encoder=part, weight=2.0) for part in parts)
        return ConcatEncoder(ConcatConfig(use="concat", encoders=weighed), Env(build=made))

    fitted, restored = concat(rows, later, rows), concat(rows, later, rows)
    fitted.encode(catalogue(title=["x", "y"]), Sequences.of([]))
    restored.load_state_dict(fitted.state_dict())
    half = np.sqrt(2.0)
    expected = [[0, 0, half, half, 0, 0]] * 3
    np.testing.assert_allclose(restored.embed(catalogue(title=["a", "b", "c"])), expected, atol=1e-6)
    assert restored.embeds_later
    assert not concat(rows, rows).embeds_later
