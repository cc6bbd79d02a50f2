"""`LASAR_KIT_MATMUL`: products by oneDNN are those of torch, and are given back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import linear
from torch.profiler import ProfilerActivity, profile

from lasar_kit.catalogue import Catalogue
from lasar_kit.errors import UserError
from lasar_kit.process.matmul import LEAST, VARIABLE, choose_kernels, take_onednn, take_torch
from lasar_kit.run import runner
from lasar_kit.serve.recommend import LoadedRun
from lasar_kit.spec import load_spec

ONEDNN = "mkldnn::_linear_pointwise"

pytestmark = pytest.mark.skipif(
    not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")),
    reason="this torch is built without oneDNN",
)


@pytest.fixture(autouse=True)
def given_back() -> Iterator[None]:
    yield
    take_torch()


def asked() -> set[str]:
    """The kernels that a product and its gradients are made by."""
    left, right = (torch.ones(64, 64, requires_grad=True) for _ in range(2))
    with profile(activities=[ProfilerActivity.CPU]) as found:
        (left @ right).sum().backward()
    return {event.name for event in found.events()}


def laid_out(matrix: Tensor, layout: str) -> Tensor:
    """The same numbers in rows, in columns, or as a part of a larger matrix."""
    if layout == "columns":
        return matrix.t().contiguous().t()
    if layout == "part":
        larger = matrix.new_full((matrix.shape[0] + 3, 2 * matrix.shape[1] + 1), torch.nan)
        larger[2:-1, 1::2] = matrix
        return larger[2:-1, 1::2]
    return matrix


LAYOUTS = st.sampled_from(["rows", "columns", "part"])


@given(st.tuples(*[st.integers(1, 90)] * 3), LAYOUTS, LAYOUTS, st.integers(0, 2**31))
@example((80, 90, 70), "columns", "columns", 0)
@example((80, 90, 70), "part", "part", 1)
@example((1, 1, LEAST), "rows", "part", 2)
@example((64, 0, 2048), "rows", "rows", 3)
def test_a_product_is_numpys(sizes: tuple[int, int, int], left: str, right: str, seed: int) -> None:
    m, k, n = sizes
    draws = np.random.default_rng(seed)
    a, b = draws.standard_normal((m, k)), draws.standard_normal((k, n))
    x, y = (torch.from_numpy(matrix).float() for matrix in (a, b))
    take_onednn()
    found = laid_out(x, left) @ laid_out(y, right)
    expected = x.double().numpy() @ y.double().numpy()
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5 * max(k, 1))


def test_gradients_of_a_linear_map_are_those_worked_out() -> None:
    """By x^T g, g W and the column sums of g in float64."""
    draws = np.random.default_rng(0)
    x, weight, bias, g = (
        draws.standard_normal(shape).astype(np.float32)
        for shape in ((4, 30, 80), (70, 80), (70,), (4, 30, 70))
    )
    take_onednn()
    inputs = [torch.from_numpy(array.copy()).requires_grad_() for array in (x, weight, bias)]
    made = linear(*inputs)
    made.backward(torch.from_numpy(g))
    flat_x, flat_g = x.reshape(-1, 80).astype(np.float64), g.reshape(-1, 70).astype(np.float64)
    expected = (flat_g @ weight).reshape(x.shape), flat_g.T @ flat_x, flat_g.sum(0)
    np.testing.assert_allclose(made.detach(), x.astype(np.float64) @ weight.T + bias, rtol=1e-4, atol=1e-4)
    for own, right in zip(inputs, expected, strict=True):
        assert own.grad is not None
        np.testing.assert_allclose(own.grad, right, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int64])
def test_other_types_stay_with_torch(dtype: torch.dtype) -> None:
    left, right = (torch.randint(0, 3, (64, 64)).to(dtype) for _ in range(2))
    expected = (left.double() @ right.double()).to(dtype)
    take_onednn()
    torch.testing.assert_close(left @ right, expected)


def test_a_sum_with_factors_stays_with_torch() -> None:
    added, left, right = torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = 0.5 * added.double() + 2 * left.double() @ right.double()
    take_onednn()
    found = torch.addmm(added, left, right, beta=0.5, alpha=2)
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("right", [torch.ones(65, 64), torch.ones(64, 64, dtype=torch.float64)])
def test_what_torch_refuses_is_refused(right: Tensor) -> None:
    take_onednn()
    with pytest.raises(RuntimeError, match=r"cannot be multiplied|same dtype"):
        torch.ones(64, 64) @ right


def test_the_environment_chooses_and_gives_back() -> None:
    choose_kernels({VARIABLE: "onednn"})
    choose_kernels({VARIABLE: "onednn"})
    assert ONEDNN in asked()
    choose_kernels({VARIABLE: "torch"})
    assert ONEDNN not in asked()
    choose_kernels({VARIABLE: "onednn"})
    choose_kernels({})
    assert ONEDNN not in asked()


def test_other_names_are_refused_by_runs_and_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "onedn")
    line = rf"^{VARIABLE}=onedn in the environment: did you mean 'onednn'\?$"
    loaded = load_spec(Path("preset:quickstart"), [], Catalogue.discover())
    with pytest.raises(UserError, match=line):
        runner.run_spec(loaded, Catalogue.discover(), tmp_path, True)
    with pytest.raises(UserError, match=line):
        LoadedRun.load(tmp_path, Catalogue.discover())
    assert not list(tmp_path.iterdir())


def test_a_torch_without_onednn_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(UserError, match="built without oneDNN"):
        choose_kernels({VARIABLE: "onednn"})
