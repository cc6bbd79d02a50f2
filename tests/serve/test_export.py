"""A run as a folder for other engines: what they find there, and that they answer as the run does."""

from __future__ import annotations

import io
import json
import re
import shutil
import zipfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from accelerate import Accelerator
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_weights
from transformers import AutoModelForCausalLM, AutoTokenizer

from lasar_kit import load_run
from lasar_kit.catalogue import Catalogue
from lasar_kit.cli.main import main
from lasar_kit.core.chains import follow
from lasar_kit.core.values import Env
from lasar_kit.core.vocabulary import LATENT_END, LATENT_START
from lasar_kit.errors import UserError
from lasar_kit.model.recommender import Recommender
from lasar_kit.serve.engine import Asked, answers
from lasar_kit.serve.export.card import Told, write_card
from lasar_kit.serve.export.catalogue import TRIE, trie_arrays
from lasar_kit.serve.export.folder import export
from lasar_kit.serve.export.plain import Plain, compared, cost_of_no_thoughts
from lasar_kit.serve.export.program import PROGRAM, load_program
from lasar_kit.serve.live.catalogue import LiveCatalogue
from lasar_kit.serve.recommend import LoadedRun
from lasar_kit.serve.stock import Stock
from lasar_kit.spec import load_spec

PAGE = Path(__file__).parents[2] / "docs" / "export.md"


@pytest.fixture(scope="module")
def exported(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made by the command that the page shows."""
    folder = tmp_path_factory.mktemp("exported") / "shop"
    (command,) = re.findall(r"^\$ lasar-kit (.*)$", PAGE.read_text(), re.MULTILINE)
    with pytest.raises(SystemExit) as ended:
        main(
            [{"runs/shop": str(shop), "shop-model": str(folder)}.get(part, part) for part in command.split()]
        )
    assert ended.value.code == 0
    return folder


def test_the_page_tells_every_file(exported: Path) -> None:
    told = re.findall(r"`([^`]*)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE.read_text(), re.MULTILINE)))
    files = {str(path.relative_to(exported)) for path in exported.rglob("*") if path.is_file()}
    assert {file for file in told if "." in file} <= files
    left = {file for file in files if not file.startswith(tuple(told))}
    assert left == {"generation_config.json", "tokenizer_config.json"}


def test_the_folder_is_whole(shop: Path, exported: Path) -> None:
    model = load_run(shop)
    assert [path.name for path in exported.parent.iterdir()] == ["shop"]
    assert [path.name for path in exported.glob("*.safetensors")] == ["model.safetensors"]
    index = json.loads((exported / "index.json").read_text())
    assert index == json.loads((shop / "stages/tokenize/index.json").read_text())
    items = pl.read_parquet(exported / "catalogue/items.parquet")
    assert items["id"].to_list() == list(index) == list(model.row_of)
    found = load_file(exported / TRIE)
    assert {name: array.tolist() for name, array in found.items()} == {
        name: array.tolist() for name, array in trie_arrays(model.recommender.prompts.tokens).items()
    }
    assert json.loads((exported / "thinking/recommender.json").read_text())["max_history"] == 5
    spec = load_spec(exported / "spec.yaml", [], Catalogue.discover()).spec
    assert spec == load_spec(shop / "spec.lock.yaml", [], Catalogue.discover()).spec


def answers_as(run: Path, folder: Path, history: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the card's code as it stands."""
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(folder)
    with redirect_stdout(io.StringIO()) as printed:
        exec(code, {})  # noqa: S102
    lines = [line.split() for line in printed.getvalue().splitlines()]
    (found,) = load_run(run).rank([[history]], 10)
    assert [name for _, *names in lines for name in names] == [one.item for one in found]
    assert [float(score) for score, *_ in lines] == pytest.approx([one.score for one in found], abs=1e-4)


def test_the_card_answers_as_the_run_does(
    shop: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its code, run as it stands: the beams of the run, with their scores."""
    answers_as(shop, exported, "item-00000", monkeypatch)
    card = (exported / "README.md").read_text()
    for told in (
        "catalogue: the 60 items of training",
        "data set `demo`: 30 users, 60 items, 250 interactions",
        "seed 0",
        "10 beams",
        "leave-one-out",
    ):
        assert told in card
    assert "The thoughts" not in card


def test_the_catalogue_is_the_one_of_now(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two items come, one of which goes again with an old one: index, trie, table and card know."""
    run, catalogue = tmp_path / "run", Catalogue.discover()
    shutil.copytree(shop, run)
    live = LiveCatalogue.of(Stock.read(run, catalogue))
    items, trained = live.model.dataset.items, json.loads((run / "stages/tokenize/index.json").read_text())
    live.add(live.embed(items.head(2).with_columns(id=pl.Series(["new-1", "new-2"]))))
    gone = ["item-00000", "new-2"]
    live.withdraw(gone)
    sid = {name: live.model.sid(row) for name, row in live.model.row_of.items()}
    assert [*sid] == [*trained, "new-1", "new-2"]
    for to, as_trained in ((tmp_path / "now", False), (tmp_path / "then", True)):
        export(run, to, catalogue, users=0, as_trained=as_trained)
        listed = trained if as_trained else {name: own for name, own in sid.items() if name not in gone}
        assert json.loads((to / "index.json").read_text()) == listed
        assert json.loads((to / "withdrawn.json").read_text()) == (
            {} if as_trained else {name: sid[name] for name in gone}
        )
        assert pl.read_parquet(to / "catalogue/items.parquet")["id"].to_list() == [*listed]
        tokenizer = AutoTokenizer.from_pretrained(to)
        spelled = np.array([tokenizer.convert_tokens_to_ids(own) for own in listed.values()])
        wanted = trie_arrays(spelled)
        found = load_file(to / TRIE)
        assert found.keys() == wanted.keys()
        assert all(np.array_equal(found[name], array) for name, array in wanted.items())
    card = (tmp_path / "now" / "README.md").read_text()
    assert "60 items. 2 came after training, 2 were withdrawn." in card
    answers_as(run, tmp_path / "now", "item-00001", monkeypatch)
    live.withdraw([*sid])
    with pytest.raises(UserError, match="--as-trained"):
        export(run, tmp_path / "none", catalogue)
    assert not (tmp_path / "none").exists()


def test_a_trie_of_arrays_is_the_catalogue() -> None:
    """Five items, two of one SID: walked from the root, each leaf gives its items."""
    tokens = np.array([[7, 3], [5, 9], [7, 1], [7, 3], [5, 2]])
    arrays = trie_arrays(tokens)
    found = {}
    for a in range(arrays["first.0"][0], arrays["first.0"][1]):
        for b in range(arrays["first.1"][a], arrays["first.1"][a + 1]):
            rows = arrays["items"][arrays["items_first"][b] : arrays["items_first"][b + 1]]
            found[int(arrays["token.0"][a]), int(arrays["token.1"][b])] = rows.tolist()
    assert found == {(5, 2): [4], (5, 9): [1], (7, 1): [2], (7, 3): [0, 3]}
    assert list(found) == sorted(found)
    assert len(arrays["first.0"]) == 2


def test_the_program_reads_and_steps_as_the_run_does(shop: Path, exported: Path) -> None:
    """Prompts of two lengths in one batch; behind them a thought and two tokens, on branches of their own."""
    recommender, program = load_run(shop).recommender, load_program(exported).module()
    with zipfile.ZipFile(exported / PROGRAM) as archive:
        assert not any(archive.read(name)[:1] == b"\x80" for name in archive.namelist())  # no pickle
    weights = load_weights(exported / "model.safetensors")
    assert (exported / PROGRAM).stat().st_size < 10**6
    table, config = weights["model.embed_tokens.weight"], recommender.backbone.model.config
    histories = [np.array([1, 2, 3]), np.array([4])]
    with torch.inference_mode():
        prompts = recommender.prompts.prompts(histories)
        prompt = recommender.read(prompts)
        start, length = prompts.ids.shape[1] - prompts.lengths, prompts.ids.shape[1]
        node = torch.arange(length)
        seen = (node[:, None] >= node) & (node >= start[:, None, None]) | torch.eye(length, dtype=torch.bool)
        shape = (config.num_hidden_layers, 2, config.num_key_value_heads, 0, config.head_dim)
        nothing = torch.zeros(shape)
        position = (node - start[:, None]).clamp_min(0)
        states, logits, keys, values = program(
            weights, table[prompts.ids], seen, position, nothing, nothing.clone()
        )
        torch.testing.assert_close(states[:, -1:], prompt.h0)
        torch.testing.assert_close(logits[:, -1:], recommender.backbone.logits(prompt.h0))

        thought, _ = recommender.backbone.advance(prompt.h0, prompt.tip, prompt.context)
        answer = torch.from_numpy(recommender.prompts.tokens[[[5], [6]]])
        told, _, _ = follow(recommender.backbone, answer, prompt.tip, prompt.context)
        inputs = torch.cat([states[:, -1:], table[answer[:, 0]]], dim=1)
        behind = torch.tensor([[True, False, False], [False, True, False], [False, True, True]])
        real = (node >= start[:, None])[:, None].expand(-1, 3, -1)
        place = torch.tensor([0, 0, 1]) + (length - start)[:, None]
        seen = torch.cat([real, behind.expand(2, -1, -1)], dim=-1)
        states, logits, keys, _ = program(weights, inputs, seen, place, keys, values)
        torch.testing.assert_close(states[:, :1], thought)
        torch.testing.assert_close(states[:, 1:], told[:, 0])
        torch.testing.assert_close(
            logits, recommender.backbone.logits(torch.cat([thought, told[:, 0]], dim=1))
        )
        assert keys.shape[3] == length + 3


@pytest.mark.parametrize(
    ("options", "between"),
    [
        ({"exit": "e_token"}, [LATENT_START, LATENT_END]),
        ({"exit": "direct"}, [LATENT_START]),
        ({"exit": "residual"}, []),
        ({"exit": "hN_as_input"}, None),
    ],
)
def test_what_stands_before_an_answer_without_thoughts_is_found(
    model: LoadedRun, tmp_path: Path, options: dict[str, Any], between: list[str] | None
) -> None:
    catalogue, recommender = Catalogue.discover(), model.recommender
    config = catalogue.config_class("latent_loop", "coconut").model_validate(
        {"use": "coconut", **options}, context={"catalogue": catalogue}
    )
    backbone = recommender.backbone
    env = Env(seed=1, hidden_size=backbone.hidden_size, tokenizer=backbone.tokenizer)
    backbone.save(tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    loop = catalogue.build("latent_loop", config, env)
    own = (recommender.depth_policy, recommender.decoder, recommender.prompts, recommender.parts)
    other = Recommender(backbone, loop, *own).eval()
    found = compared(LoadedRun(model.dataset, model.sids, other, 10, Accelerator()), plain)
    assert found.between == between
    assert found.apart < 1e-3 or between is None


def test_a_card_tells_what_thoughts_are_worth(model: LoadedRun, shop: Path, tmp_path: Path) -> None:
    """The one user's target is worth what his list at depth 0 says, and what the policy's says."""
    history, target = model.dataset.sequences[0][:2], int(model.dataset.sequences[0][2])
    cost = cost_of_no_thoughts(model, 0)
    for name, depth in (("as trained", None), ("without thoughts", 0)):
        (answer,) = answers(model.recommender, [Asked(history, 10, 10, depth=depth)])
        assert cost[name]["hr@10"] == float(target in answer.best.items)
    loaded = load_spec(shop / "spec.lock.yaml", [], Catalogue.discover())
    for between, says in (([], "trained to take 0, 1, 2, 3, 4 before"), (None, "no plain text gives")):
        write_card(shop, loaded, model, tmp_path, Told(Plain(between, 1e-6), cost, False, model))
        assert says in (tmp_path / "README.md").read_text()
    assert "Without thoughts: HR@10" not in (tmp_path / "README.md").read_text()


def test_what_cannot_be_exported_is_told(
    shop: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for to, told in ((exported, "is there already"), (shop / "metrics.json", "is there already")):
        with pytest.raises(UserError, match=told):
            export(shop, to, Catalogue.discover())
    with pytest.raises(SystemExit) as ended:
        main(["export", str(tmp_path), "--to", str(tmp_path / "x")])
    assert ended.value.code == 2
    assert "is not the folder of a run" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]
