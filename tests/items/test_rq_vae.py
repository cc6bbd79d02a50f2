"""RQ-VAE against losses worked out item by item, autograd, and transport plans found otherwise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_kit.stages.tokenize.quality import perplexity
from lasar_plugins.quantizer.rq_kmeans.config import RqKmeansConfig
from lasar_plugins.quantizer.rq_kmeans.quantizer import RqKmeans
from lasar_plugins.quantizer.rq_vae import training
from lasar_plugins.quantizer.rq_vae.config import RqKmeansPlusConfig, RqVaeConfig
from lasar_plugins.quantizer.rq_vae.levels import quantize
from lasar_plugins.quantizer.rq_vae.network import Autoencoder
from lasar_plugins.quantizer.rq_vae.quantizer import RqKmeansPlus, RqVae
from lasar_plugins.quantizer.rq_vae.sinkhorn import seated, transport
from lasar_plugins.quantizer.rq_vae.training import MovingMeans, Trainer, forward

SMALL = {"levels": 2, "codes": 4, "hidden": (8,), "width": 3, "epochs": 3, "batch_size": 8}


def config(**options: object) -> RqVaeConfig:
    return RqVaeConfig.model_validate({"use": "rq_vae", **SMALL, **options})


def vae(seed: int = 0, report=lambda numbers: None, **options: object) -> RqVae:
    return RqVae(config(**options), Env(seed=seed, report=report))


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def network(items: Tensor, seed: int = 1, **options: object) -> Autoencoder:
    """Networks with codewords anywhere, and biases that are felt."""
    settings = config(**options)
    made = Autoencoder(items.shape[1], settings.width, settings.hidden, settings.sizes, seed)
    with torch.no_grad():
        made.scale.fill_(1.7)
        for place, weight in enumerate((*made.encoder.biases, *made.decoder.biases, *made.codebooks)):
            weight.copy_(numbers(*weight.shape, seed=place))
    return made


def by_hand(net: Autoencoder, items: Tensor) -> dict[str, Tensor]:
    """The three losses, item by item and level by level."""
    recon, commit, books = [], [], []
    for item in items:
        x = item / net.scale
        hidden = torch.relu(net.encoder.weights[0] @ x + net.encoder.biases[0])
        latent = net.encoder.weights[1] @ hidden + net.encoder.biases[1]
        words: list[Tensor] = []
        for book in net.codebooks:
            rest = latent - sum((word.detach() for word in words), torch.zeros(3))
            gaps = [float((rest - row).square().sum().detach()) for row in book]
            word = book[int(np.argmin(gaps))]
            commit.append((rest - word.detach()).square())
            books.append((rest.detach() - word).square())
            words.append(word)
        rounded = sum((word.detach() for word in words), latent - latent.detach())
        hidden = torch.relu(net.decoder.weights[0] @ rounded + net.decoder.biases[0])
        recon.append((net.decoder.weights[1] @ hidden + net.decoder.biases[1] - x).square())
    losses = zip(("reconstruction", "commitment", "codebook"), (recon, commit, books), strict=True)
    return {name: torch.stack(parts).mean() for name, parts in losses}


@pytest.mark.parametrize("codebooks", ["gradient", "ema"])
def test_losses_and_their_gradients_are_those_worked_out(codebooks: str) -> None:
    items = numbers(6, 5)
    options = {"beta": 0.4, "quantization_weight": 0.7, "sinkhorn": 0.0, "codebooks": codebooks}
    net, other = network(items), network(items)
    _, found = forward(net, items, config(**options))
    expected = by_hand(other, items)
    quantization = 0.4 * expected["commitment"]
    if codebooks == "gradient":
        quantization = quantization + expected["codebook"]
        torch.testing.assert_close(found["codebook"], expected["codebook"])
    else:
        assert "codebook" not in found
    loss = expected["reconstruction"] + 0.7 * quantization
    for name in ("reconstruction", "commitment"):
        torch.testing.assert_close(found[name], expected[name])
    torch.testing.assert_close(found["loss"], loss)
    found["loss"].backward()
    loss.backward()
    for (name, ours), theirs in zip(net.named_parameters(), other.parameters(), strict=True):
        if codebooks == "ema" and "codebooks" in name:
            assert ours.grad is None
            continue
        assert theirs.grad.abs().max() > 0, name
        torch.testing.assert_close(ours.grad, theirs.grad, msg=name)


def test_the_gradient_goes_straight_through_to_the_latents() -> None:
    latents = numbers(5, 3).requires_grad_()
    books = [numbers(4, 3, seed=s).requires_grad_() for s in (1, 2)]
    found = quantize(latents, books, lambda rest, book, last: torch.cdist(rest, book).argmin(1))
    torch.testing.assert_close(found.through, sum(book[found.codes[:, m]] for m, book in enumerate(books)))
    weights = numbers(5, 3, seed=9)
    grads = torch.autograd.grad((found.through * weights).sum(), [latents, *books], allow_unused=True)
    torch.testing.assert_close(grads[0], weights)
    assert grads[1] is grads[2] is None


def test_moving_means_are_the_weighted_means_of_what_codes_stood_for() -> None:
    items = numbers(7, 5)
    net = network(items)
    before = net.codebooks[0].detach().clone()
    found, _ = forward(net, items, config(codebooks="ema", sinkhorn=0.0))
    MovingMeans.of(net, 0.9).follow(net, found)
    for code in range(4):
        mine = found.residuals[0][found.codes[:, 0] == code].detach()
        mean = (0.9 * before[code] + 0.1 * mine.sum(0)) / (0.9 + 0.1 * len(mine))
        torch.testing.assert_close(net.codebooks[0][code].detach(), mean)


@given(st.integers(2, 30), st.integers(1, 6), st.sampled_from([0.003, 0.05, 1.0]), st.integers(0, 99))
@settings(max_examples=10)
def test_a_transport_gives_each_code_its_share(items: int, codes: int, entropy: float, seed: int) -> None:
    gaps = torch.cdist(numbers(items, 3, seed=seed), numbers(codes, 3, seed=seed + 1)).square()
    plan = transport(gaps, entropy, 100)
    torch.testing.assert_close(plan.sum(0), torch.full((codes,), items / codes).double())
    if entropy == 1.0:
        torch.testing.assert_close(plan.sum(1), torch.ones(items).double(), atol=1e-3, rtol=0)
    counts = torch.bincount(seated(plan), minlength=codes)
    assert counts.max() <= -(-items // codes)
    assert counts.sum() == items


def test_with_little_entropy_the_transport_is_the_best_assignment() -> None:
    rows, book = numbers(24, 2), numbers(4, 2, seed=5)
    gaps = torch.cdist(rows, book).square()
    found = seated(transport(gaps, 0.003, 1000))
    seats = np.repeat(gaps.numpy(), 6, axis=1)  # six seats a code
    best = seats[linear_sum_assignment(seats)].sum()
    assert torch.bincount(found, minlength=4).tolist() == [6, 6, 6, 6]
    assert float(gaps.gather(1, found[:, None]).sum()) == pytest.approx(float(best), rel=1e-5)
    nearest = torch.bincount(gaps.argmin(1), minlength=4)
    assert nearest.max() > 8


@pytest.fixture(scope="module")
def clustered() -> Tensor:
    """Twelve tight groups of six, each of three places plus one of four shifts."""
    places, shifts = 6 * numbers(3, 6), 2 * numbers(4, 6, seed=1)
    groups = (places[:, None] + shifts).reshape(12, 6)
    return (groups[:, None] + 0.05 * numbers(12, 6, 6, seed=2)).reshape(72, 6)


@pytest.fixture(scope="module")
def trained(clustered: Tensor) -> RqVae:
    made = vae(codes=(3, 4), hidden=(32,), width=4, epochs=50, batch_size=72, lr=1e-2, sinkhorn_iterations=20)
    made.fit(clustered)
    return made


def test_the_last_level_is_even_and_all_codes_are_used(trained: RqVae, clustered: Tensor) -> None:
    codes = trained.encode(clustered)
    counts = [np.bincount(codes[:, m].numpy(), minlength=size) for m, size in enumerate((3, 4))]
    assert perplexity(counts[0]) > 2.9
    assert counts[1].tolist() == [18, 18, 18, 18]
    left = (trained.decode(codes) - clustered).square().mean() / clustered.square().mean()
    assert left < 0.5


def test_one_item_more_is_read_by_itself(trained: RqVae, clustered: Tensor) -> None:
    """All others are read by their nearest codewords, whatever stands beside them."""
    some = clustered[:20]
    together = trained.encode(some)
    alone = torch.cat([trained.encode(row[None]) for row in some])
    assert torch.equal(together, alone)


def test_what_it_was_is_restored_from_its_state(trained: RqVae, clustered: Tensor, tmp_path) -> None:
    save_file(trained.state_dict(), tmp_path / "state.safetensors")
    again = RqVae(trained.config, Env(seed=9))
    again.load_state_dict(load_file(tmp_path / "state.safetensors"))
    assert torch.equal(again.encode(clustered), trained.encode(clustered))
    codes = again.encode(clustered[:9])
    assert torch.equal(again.decode(codes), trained.decode(codes))
    assert torch.equal(again.decode(codes[:, :1]), trained.decode(codes[:, :1]))


@pytest.mark.parametrize("codebooks", ["gradient", "ema"])
def test_a_dead_code_is_put_where_codes_serve_worst(codebooks: str) -> None:
    items = torch.cat([numbers(30, 5), 9 + numbers(3, 5, seed=4)])
    settings = config(codebooks=codebooks, sinkhorn=0.0)
    trainer = Trainer(network(items), items, settings, seed=0)
    with torch.no_grad():
        trainer.network.codebooks[0][2] = 1e3  # no item is near it
    if trainer.means is not None:
        trainer.means.place(0, torch.tensor([2]), torch.full((1, 3), 1e3))
    used = trainer._unused()
    trainer._epoch(used)
    assert not used[0][2]
    latents = trainer.network.latents(items).detach()
    found = quantize(latents, list(trainer.network.codebooks), training.chooser(settings))
    gaps = (latents - found.words[0].detach()).square().sum(1)
    trainer._revive(used)
    revived = trainer.network.codebooks[0][2].detach()
    place = (latents - revived).abs().sum(1).argmin()
    torch.testing.assert_close(latents[place], revived)
    assert gaps[place] > 0
    assert trainer.progress.revived[0] == int((~used[0]).sum())
    again = trainer._unused()
    trainer._epoch(again)
    assert again[0][2]


def test_codes_are_revived_in_training_but_not_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    when: list[float] = []
    told: list[float] = []
    monkeypatch.setattr(Trainer, "_revive", lambda self, used: when.append(told[-1]))
    made = vae(epochs=20, revive_every=4, sinkhorn=0.0, report=lambda found: told.append(found["done"]))
    made.fit(numbers(20, 5))
    assert when == [4, 8, 12, 16]
    assert told == list(range(1, 21))


def test_the_same_seed_trains_the_same_and_another_does_not() -> None:
    items = numbers(20, 5)
    first, again, other = (vae(seed=seed, sinkhorn_iterations=3) for seed in (3, 3, 4))
    for made in (first, again, other):
        made.fit(items)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in first.state_dict().items())
    assert not torch.equal(first.network.encoder.weights[0], other.network.encoder.weights[0])


def test_without_training_rq_kmeans_plus_is_residual_kmeans() -> None:
    items = numbers(60, 5)
    options = {"levels": 3, "codes": 6}
    plus = RqKmeansPlus(
        RqKmeansPlusConfig.model_validate({"use": "rq_kmeans_plus", "epochs": 0, **options}), Env(seed=2)
    )
    plain = RqKmeans(RqKmeansConfig.model_validate({"use": "rq_kmeans", **options}), Env(seed=2))
    for made in (plus, plain):
        made.fit(items)
    codes = plain.encode(items)
    assert (plus.encode(items) == codes).float().mean() > 0.95  # scaled items round otherwise
    torch.testing.assert_close(plus.decode(codes), plain.decode(codes), atol=0.05, rtol=0.05)


def test_rq_kmeans_plus_comes_nearer_than_it_began() -> None:
    """Of items on a bent surface."""
    items = torch.tanh(2 * numbers(150, 2) @ numbers(2, 8, seed=1))
    losses = []
    for epochs in (0, 40):
        options = {"levels": 2, "codes": 8, "hidden": (16,), "epochs": epochs, "lr": 3e-3, "revive_every": 0}
        made = RqKmeansPlus(RqKmeansPlusConfig.model_validate({"use": "rq_kmeans_plus", **options}), Env())
        made.fit(items)
        losses.append(float((made.decode(made.encode(items)) - items).square().mean()))
    assert losses[1] < 0.95 * losses[0]


def test_a_rate_that_breaks_it_is_told() -> None:
    with pytest.raises(UserError, match=r"quantizer rq_vae: the loss is (nan|inf) in epoch \d+; lower lr"):
        vae(lr=1e30, epochs=50).fit(numbers(20, 5))


def test_items_that_are_all_the_same_have_one_code() -> None:
    made = vae(sinkhorn=0.0)
    made.fit(torch.zeros(5, 4))
    assert len(made.encode(torch.zeros(5, 4)).unique(dim=0)) == 1
