"""Which stages are run again when a file of the kit is changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lasar_kit.catalogue import Catalogue, digests
from lasar_kit.run import runner
from lasar_kit.spec import LoadedSpec, load_spec

ROOT = Path(__file__).resolve().parents[2]
STAGES = (
    *("dataset", "tokenize", "ground", "minionerec", "anchors", "reason", "lasar_sft"),
    *("more", "minionerec_more", "rl", "lasar_rl"),
)
"""Of the quickstart; a stage with a new key gives one to all that read from it."""

ALL, MODEL = set(STAGES), set(STAGES[2:])
RL, EVALUATIONS = {"rl", "lasar_rl"}, {"minionerec", "lasar_sft", "minionerec_more", "lasar_rl"}
ANCHORS = {"anchors", "reason", "lasar_sft", *RL}

Keys = Callable[[], dict[str, str]]
Edit = Callable[[str, str], None]


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if after[name] != before[name]}


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A copy of the kit's sources, to be edited."""
    folder = tmp_path_factory.mktemp("kit")
    found = digests.kit_packages()
    for name, sources in found.items():
        shutil.copytree(sources, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return {name: folder / name for name in found}


@pytest.fixture(scope="module")
def loaded() -> LoadedSpec:
    return load_spec(ROOT / "tutorials" / "quickstart.yaml", (), Catalogue.discover())


@pytest.fixture
def keys(kit: dict[str, Path], loaded: LoadedSpec, monkeypatch: pytest.MonkeyPatch) -> Keys:
    """The keys that the quickstart's stages have by the copy's sources."""
    monkeypatch.setattr(digests, "kit_packages", lambda: kit)
    return lambda: {step.stage.name: step.key for step in runner.steps_of(loaded, Catalogue.discover())}


@pytest.fixture(scope="module")
def before(loaded: LoadedSpec) -> dict[str, str]:
    """The keys by the sources themselves."""
    return {step.stage.name: step.key for step in runner.steps_of(loaded, Catalogue.discover())}


@pytest.fixture
def edit(kit: dict[str, Path]) -> Iterator[Edit]:
    """Add a text to a file of the copy; the file is put back afterwards."""
    old: dict[Path, bytes] = {}

    def change(name: str, text: str) -> None:
        file = next(folder / name for folder in kit.values() if (folder / name).is_file())
        old.setdefault(file, file.read_bytes())
        file.write_bytes(file.read_bytes() + text.encode())

    yield change
    for file, content in old.items():
        file.write_bytes(content)


FILES = [
    ("core/values.py", ALL),
    ("core/dataset.py", ALL),
    ("core/trie.py", MODEL),
    ("core/trie_growth.py", MODEL),
    ("core/kl.py", RL),
    ("core/groups.py", RL),
    ("core/sources/interactions.py", ALL),
    ("core/sources/tables.py", set()),  # of csv and recbole, which the spec does not use
    ("core/reasoning/sentences.py", ANCHORS),
    ("core/sentence_model.py", set()),
    ("process/world.py", ALL - {"dataset"}),
    ("process/signals.py", MODEL),
    ("process/screen.py", set()),
    ("store/artifacts.py", ALL - {"dataset"}),
    ("store/contents.py", set()),
    ("store/fingerprints.py", set()),
    ("store/run_folder.py", set()),
    ("data/stored_dataset.py", ALL),
    ("data/stage_context.py", ALL - {"dataset"}),
    ("data/held_out.py", ALL - {"dataset"}),  # items may be held out of semantic IDs, too
    ("data/anchor_store.py", MODEL),
    ("data/cold.py", ALL - {"dataset"}),  # nothing is held out; semantic IDs are made for what is
    ("model/recommender.py", ALL - {"dataset"}),  # semantic IDs may be made from a trained model's vectors
    ("train/loop.py", MODEL),
    ("train/teacher_texts.py", MODEL),
    ("stages/tokenize/collisions.py", ALL - {"dataset"}),
    ("stages/tokenize/newcomers.py", ALL - {"dataset"}),
    ("stages/sft/step.py", MODEL),
    ("stages/anchors/stage.py", ANCHORS),
    ("stages/anchors/config.py", ANCHORS),
    ("stages/rl/step.py", RL),
    ("stages/rl/config.py", RL),
    ("stages/evaluate/stage.py", EVALUATIONS),
    ("stages/evaluate/beside.py", EVALUATIONS),
    ("report/table.py", set()),
    ("report/observers.py", set()),
    ("run/runner.py", set()),
    ("serve/recommend.py", set()),
    ("serve/stock.py", set()),
    ("serve/live/ledger.py", set()),
    ("cli/main.py", set()),
    ("catalogue/catalogue.py", set()),
    ("scaffold/write.py", set()),
    ("testing/checks/quantizer.py", set()),
    ("spec/merge.py", set()),
    ("spec/yaml_source.py", set()),
    ("spec/cautions.py", set()),
    ("spec/component.py", ALL),
    ("dataset/demo/shop.py", ALL),
    ("dataset/hops/ring.py", set()),
    ("text_encoder/tfidf_svd/encoder.py", ALL - {"dataset"}),
    ("text_encoder/cooccurrence/encoder.py", set()),
    ("quantizer/rq_kmeans/kmeans.py", ALL - {"dataset"}),
    ("quantizer/from_index/index_file.py", set()),
    ("backbone/qwen3/step.py", MODEL),
    ("backbone/hf_causal/lora.py", MODEL),  # qwen3 imports it
    ("prompt/standard/templates.py", MODEL),
    ("latent_loop/coconut/feedback.py", {"reason", "lasar_sft", *RL}),
    ("depth_policy/mlp/policy.py", {"reason", "lasar_sft", *RL}),
    ("depth_policy/fixed/policy.py", set()),
    ("aligner/standard/aligners.py", MODEL),  # the aligner `none` of the first stage stands there too
    ("decoder/trie/walk.py", MODEL),
    ("decoder/trie/sampler.py", set()),
    ("sft_objective/answer/objective.py", MODEL),
    ("sft_objective/text/plain.py", set()),  # texts of items have no weight
    ("sft_objective/text/tasks.py", MODEL),
    ("rl_objective/grpo/objective.py", RL),
    ("rl_objective/reinforce/config.py", RL),
    ("reward/standard/ndcg.py", RL),
    ("reward/standard/prefix.py", set()),
    ("teacher/template/evidence.py", MODEL),  # `reasoning_text` of an sft stage has it by default
    ("teacher/openai/client.py", set()),
    ("segmenter/standard/steps.py", ANCHORS),
    ("segmenter/standard/embedding.py", set()),
]


@pytest.mark.parametrize(("file", "anew"), FILES)
def test_a_changed_file_renews_the_stages_that_run_it(
    keys: Keys, before: dict[str, str], edit: Edit, file: str, anew: set[str]
) -> None:
    assert tuple(before) == STAGES
    edit(file, "\nEDITED = True\n")
    assert changed(before, keys()) == anew


def test_comments_and_docstrings_renew_nothing(
    keys: Keys, before: dict[str, str], edit: Edit, kit: dict[str, Path]
) -> None:
    """Nor does where the kit lies, nor its version."""
    for file, _ in FILES:
        edit(file, '\n# a comment\n"""And a text that nothing reads."""\n')
    edit("__init__.py", "__version__ = 'other'\n")
    assert keys() == before


def test_a_new_import_brings_its_module_in(keys: Keys, edit: Edit) -> None:
    edit("stages/rl/step.py", "from lasar_kit.core.sentence_model import PACKAGE\n")
    before = keys()
    edit("core/sentence_model.py", "EDITED = True\n")
    assert changed(before, keys()) == RL
