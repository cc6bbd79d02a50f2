"""A hostile or careless spec: told in one line a value, with its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.errors import UserError
from lasar_kit.spec import load_spec, missing_files
from lasar_kit.spec.run_spec import LONGEST_NAME
from lasar_kit.spec.yaml_source import LARGEST, dump

STAGES = "stages: {tokenize: tokenize}\n"


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.discover()


def mistakes(folder: Path, catalogue: Catalogue, text: str) -> tuple[str, ...]:
    (folder / "s.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        load_spec(folder / "s.yaml", [], catalogue)
    return tuple(line.removeprefix(f"{folder}/") for line in caught.value.lines)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "seed: 0x" + "f" * 3000 + f"\n{STAGES}",
            "s.yaml:1: seed: must be < 4294967296 (got an integer of 12000 bits)",
        ),
        ("seed: 0x" + "f" * 9000 + f"\n{STAGES}", "s.yaml:1: seed: must be an integer (got '0xfff"),
        (
            "dataset: {use: lcrec, path: ~nobody-of-this-name/x}\n" + STAGES,
            "s.yaml:1: dataset.path: is no path: ",
        ),
        ('dataset: {use: lcrec, path: "a\\0b"}\n' + STAGES, "s.yaml:1: dataset.path: is no path: "),
        (
            "stages: {tokenize: tokenize, g: {use: sft, optimizer: 3}}\n",
            "s.yaml:1: stages.g.optimizer: must be a table",
        ),
        (
            "stages: {t: tokenize, g: {use: sft, optimizer: {betas: [0.9, 1.0]}}}\n",
            "s.yaml:1: stages.g.optimizer.betas[1]: must be < 1 (got 1.0)",
        ),
        (
            "stages: {t: tokenize, g: sft, r: {use: rl, rewards: []}}\n",
            "s.yaml:1: stages.r.rewards: must hold at least 1 (got 0)",
        ),
        (
            "stages: {t: tokenize, g: sft, r: {use: rl, objectives: []}}\n",
            "s.yaml:1: stages.r.objectives: must hold at least 1 (got 0)",
        ),
        (
            "stages: {t: tokenize, g: sft, r: {use: rl, objectives: [{objective: grop}]}}\n",
            "s.yaml:1: stages.r.objectives[0].objective.use: unknown rl_objective 'grop'; did you mean",
        ),
        (
            "stages: {t: tokenize, g: sft, e: {use: evaluate, depth: -7}}\n",
            "s.yaml:1: stages.e.depth: must be 'argmax' or 'sample' or >= 0 (got -7)",
        ),
        (
            "stages: {t: tokenize, g: sft, e: {use: evaluate, depth: 1}}\n",
            "s.yaml:1: stages.e.depth: depth 1 cannot be forced: this model's depth policy has 0",
        ),
        (
            "stages: {t: tokenize, g: {use: sft, depth_policy: {use: fixed, depth: 3}}, r: rl, "
            "e: {use: evaluate, depth: 4}}\n",
            "s.yaml:1: stages.e.depth: depth 4 cannot be forced: this model's depth policy has 3",
        ),
        (
            "stages: {t: tokenize, g: {use: sft, depth_policy: {use: mlp, n_max: 3, allow_zero: true}}, "
            "e: {use: evaluate, depth: 99}}\n",
            "s.yaml:1: stages.e.depth: depth 99 cannot be forced: this model's depth policy has 0, 1, 2, 3",
        ),
        (
            "stages: {t: tokenize, g: {use: sft, fresh: 1}}\n",
            "s.yaml:1: stages.g.fresh: must be true or false (got 1)",
        ),
        (
            "stages: {t: tokenize, g: {use: sft, fresh: on}}\n",
            "s.yaml:1: stages.g.fresh: must be true or false (got 'on')",
        ),
        (
            "stages: {t: tokenize, g: {use: sft, optimizer: {betas: ['0.9', 0.99]}}}\n",
            "s.yaml:1: stages.g.optimizer.betas: must be a list, each a number (got a list)",
        ),
        (
            "stages: {t: tokenize, g: sft, e: {use: evaluate, depth: true}}\n",
            "s.yaml:1: stages.e.depth: must be 'argmax' or 'sample' or an integer (got true)",
        ),
        (
            f"name: {'x' * (LONGEST_NAME + 1)}\n{STAGES}",
            f"s.yaml:1: name: must be at most {LONGEST_NAME} characters long",
        ),
        (
            f"max_history: 1{'0' * 18}\n{STAGES}",
            f"s.yaml:1: max_history: must be < 2147483648 (got 1{'0' * 18})",
        ),
        (
            "stages: {t: {use: tokenize, quantizer: {use: rq_vae, hidden: [3000000000]}}}\n",
            "s.yaml:1: stages.t.quantizer.hidden: must be < 2147483648 (got a list)",
        ),
        (
            "stages: {t: tokenize, g: {use: sft, depth_policy: {use: mlp, n_max: 1000000000}}}\n",
            "s.yaml:1: stages.g.depth_policy.n_max: must be <= 1000 (got 1000000000)",
        ),
        ('extends: "a\\0b"\n', "s.yaml:1: extends: is no path: "),
        ("extends: " + "x" * 5000 + "\n", "s.yaml:1: extends: is no path: "),
        ("#" * LARGEST + "\n" + STAGES, "s.yaml: is larger than 1 MiB, so hardly a spec"),
        (
            'name: "a\\nb\\u202e"\n' + STAGES,
            "s.yaml:1: name: must be a name of letters, digits, '-', '_' and '.'",
        ),
    ],
)
def test_one_line(tmp_path: Path, catalogue: Catalogue, text: str, line: str) -> None:
    [told] = mistakes(tmp_path, catalogue, text)
    assert told.startswith(line)
    assert told.isprintable()


def test_a_name_of_the_greatest_length(tmp_path: Path, catalogue: Catalogue) -> None:
    (tmp_path / "s.yaml").write_text(f"name: {'x' * LONGEST_NAME}\n{STAGES}")
    assert load_spec(tmp_path / "s.yaml", [], catalogue).spec.name == "x" * LONGEST_NAME


def test_a_spec_that_is_a_pipe_is_not_waited_for(tmp_path: Path, catalogue: Catalogue) -> None:
    os.mkfifo(tmp_path / "s.yaml")
    with pytest.raises(UserError, match="is not a file"):
        load_spec(tmp_path / "s.yaml", [], catalogue)


def test_a_chain_of_many_specs(tmp_path: Path, catalogue: Catalogue) -> None:
    for number in range(2000):
        (tmp_path / f"s{number}.yaml").write_text(f"extends: s{number + 1}.yaml\n")
    with pytest.raises(UserError, match="51th file of a chain, at most 50"):
        load_spec(tmp_path / "s0.yaml", [], catalogue)


def test_equal_values_are_written_out_each_time() -> None:
    shared = {"a": [1]}
    assert dump({"x": shared, "y": shared}) == "x:\n  a:\n    - 1\ny:\n  a:\n    - 1\n"


def test_long_lines_are_cut_in_the_middle() -> None:
    [line] = UserError("begin " + "x" * 10**6 + " end").lines
    assert (line[:7], line[-5:]) == ("begin x", "x end")
    assert len(line) < 1100


def test_files_that_a_run_reads_must_be_there(tmp_path: Path, catalogue: Catalogue) -> None:
    """Nested ones, those of texts that are paths, and optional ones; not hub ids, nor what a run writes."""
    (tmp_path / "items.csv").write_text("x")
    (tmp_path / "s.yaml").write_text(
        "dataset: {use: csv, interactions: log.csv, items: item.csv}\n"
        "backbone: {use: qwen3, pretrained: ./model}\n"
        "stages:\n"
        "  t: {use: tokenize, text_encoder: {use: concat, encoders: [{encoder: tfidf_svd},\n"
        "      {encoder: {use: precomputed, path: e.npy}}]}}\n"
        "  g: sft\n"
        "  a: {use: anchors, teacher: {use: openai, base_url: 'http://h/v1', model: m, cache: new}}\n"
    )
    lines = missing_files(load_spec(tmp_path / "s.yaml", [], catalogue))
    assert [line.removeprefix(f"{tmp_path}/").replace(str(tmp_path), "…") for line in lines] == [
        "s.yaml:1: dataset.interactions: no such file or folder: …/log.csv",
        "s.yaml:1: dataset.items: no such file or folder: …/item.csv; did you mean 'items.csv'?",
        "s.yaml:2: backbone.pretrained: no such file or folder: …/model",
        "s.yaml:5: stages.t.text_encoder.encoders[1].encoder.path: no such file or folder: …/e.npy",
    ]
    hub = load_spec(tmp_path / "s.yaml", ["backbone.pretrained=Qwen/Qwen3-0.6B"], catalogue)
    assert not any("backbone" in line for line in missing_files(hub))


@pytest.mark.parametrize("key", ["decoder", "stages.e.decoder"])
def test_a_decoder_that_draws_ranks_nothing(tmp_path: Path, catalogue: Catalogue, key: str) -> None:
    (tmp_path / "s.yaml").write_text(
        "stages: {t: tokenize, s: sft, r: {use: rl, rollout: trie_sample}, e: evaluate}"
    )
    load_spec(tmp_path / "s.yaml", [f"{key}=trie_beam"], catalogue)
    with pytest.raises(UserError, match=rf"{key}: must rank items; trie_sample draws them"):
        load_spec(tmp_path / "s.yaml", [f"{key}=trie_sample"], catalogue)


def test_a_rollout_is_as_wide_as_its_candidates_or_wider(tmp_path: Path, catalogue: Catalogue) -> None:
    (tmp_path / "s.yaml").write_text("stages: {t: tokenize, s: sft, r: {use: rl, candidates: 6}}")

    def width(*overrides: str) -> int:
        loaded = load_spec(tmp_path / "s.yaml", overrides, catalogue)
        (tmp_path / "lock.yaml").write_text(loaded.dump())
        assert load_spec(tmp_path / "lock.yaml", [], catalogue).spec == loaded.spec
        found: int = loaded.spec.stages["r"].rollout.width  # type: ignore[attr-defined]
        return found

    assert width() == width("stages.r.rollout=trie_sample") == 6
    assert width("stages.r.rollout={use: trie_beam, width: 20}") == 20
    for rollout, said in (
        ("{use: trie_beam, width: 5}", "width must be at least 6, the number of candidates"),
        ("{use: trie_sample, width: 7}", "width must be 6, the number of candidates"),
    ):
        with pytest.raises(UserError, match=said):
            width(f"stages.r.rollout={rollout}")
