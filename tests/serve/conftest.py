"""A recommender of random weights over a shop of thirty items, served."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from accelerate import Accelerator
from fastapi.testclient import TestClient

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.dataset import Dataset, Sequences
from lasar_kit.core.values import Env
from lasar_kit.data.sids import Sids
from lasar_kit.model.parts import Parts
from lasar_kit.model.recommender import Recommender
from lasar_kit.run import runner
from lasar_kit.serve.http.app import Options, create_app
from lasar_kit.serve.http.service import Service
from lasar_kit.serve.recommend import LoadedRun
from lasar_kit.spec import load_spec

ITEMS = 30
SPEC = """
name: shop
dataset: {use: demo, users: 30, items: 60}
max_history: 5
backbone: {use: qwen3, hidden_size: 16, layers: 1, heads: 2, text_vocabulary: 300}
prompt: sid_only
decoder: {use: trie_beam, width: 10, score: trie}
stages:
  tokenize: {use: tokenize, quantizer: {use: rq_kmeans, levels: 2, codes: 16}}
  ground: {use: sft, samples: packed, epochs: 0.5, eval_users: 5, eval_width: 10, score: trie}
"""


def wares() -> Dataset:
    """Items `i0` to `i29` of three brands; item n costs n dollars, i7 has no price."""
    numbers = range(ITEMS)
    items = pl.DataFrame(
        {
            "id": [f"i{n}" for n in numbers],
            "title": [f"Thing {n}" for n in numbers],
            "brand": [("Acme", "Bolt", "Crane")[n % 3] for n in numbers],
            "categories": ["Soap > Bars" if n < 10 else "Brushes" for n in numbers],
            "description": [""] * ITEMS,
            "price": ["" if n == 7 else f"${n:,}.00" for n in numbers],
            "features": [""] * ITEMS,
        }
    )
    return Dataset(("u",), items, Sequences.of([[0, 1, 2]]))


def sids() -> Sids:
    """Thirty items, two of which share a SID."""
    leaves = torch.randperm(60, generator=torch.Generator().manual_seed(3))[:ITEMS]
    leaves[29] = leaves[28]
    return Sids(torch.stack([leaves // 12, leaves // 3 % 4, leaves % 3], dim=1), (5, 4, 3))


@pytest.fixture(scope="session")
def model() -> LoadedRun:
    """Its policy chooses among no thought and four."""
    catalogue, codes = Catalogue.discover(), sids()

    def config(kind: str, name: str, **options: object):  # type: ignore[no-untyped-def]
        return catalogue.config_class(kind, name).model_validate(
            {"use": name, **options}, context={"catalogue": catalogue}
        )

    sizes = {"hidden_size": 16, "layers": 2, "heads": 2, "text_vocabulary": 300, "initializer_std": 0.2}
    parts = Parts(
        config("backbone", "qwen3", **sizes),
        config("prompt", "sid_only"),
        config("latent_loop", "coconut"),
        config("depth_policy", "mlp", n_max=4, allow_zero=True),
        6,
    )
    env = Env(seed=5, vocabulary=codes.vocabulary, corpus=lambda: ["soap and brush"])
    decoder = config("decoder", "trie_beam", width=10, score="trie")
    recommender = Recommender.build(catalogue, parts, decoder, codes, env).eval()
    with torch.no_grad():
        recommender.depth_policy.output.weight.mul_(200)
    return LoadedRun(wares(), codes, recommender, 10, Accelerator())


@pytest.fixture
def served(model: LoadedRun) -> Iterator[Callable[..., TestClient]]:
    """Makes a client of a server with these options; errors of the server are answers."""
    clients: list[TestClient] = []

    def make(**options: float) -> TestClient:
        app = create_app(Service(model, "shop"), Options(**options))  # type: ignore[arg-type]
        client = TestClient(app, raise_server_exceptions=False)
        client.__enter__()
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture(scope="session")
def histories() -> list[list[str]]:
    """Of one to seven items, some of them twice."""
    rng = np.random.default_rng(1)
    return [[f"i{n}" for n in rng.integers(0, ITEMS, size)] for size in (5, 1, 3, 7, 2, 1, 4)]


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the demo shop."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.yaml").write_text(SPEC)
    catalogue = Catalogue.discover()
    runner.run_spec(load_spec(folder / "shop.yaml", [], catalogue), catalogue, folder / "run", True)
    return folder / "run"
