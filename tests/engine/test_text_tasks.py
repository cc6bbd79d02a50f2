"""Tasks with texts: what stands in prompts and answers, and what their losses are."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lasar_kit.core.samples import Window
from lasar_kit.core.values import Env
from lasar_kit.data.sids import Sids
from lasar_kit.model.recommender import Recommender
from lasar_kit.stages.sft.step import SftStep
from lasar_plugins.sft_objective.answer.config import AnswerConfig
from lasar_plugins.sft_objective.answer.objective import Answer
from lasar_plugins.sft_objective.text import tasks
from lasar_plugins.sft_objective.text.config import ItemTextConfig, WrittenTaskConfig
from lasar_plugins.sft_objective.text.plain import ItemText
from lasar_plugins.sft_objective.text.rows import Writer
from lasar_plugins.teacher.template.config import TemplateTeacherConfig
from tests.engine.text_tasks import all_rows, answer, prompt, shop, surroundings, tasks_of

Build = Callable[..., Recommender]
SPELLED = "Soap <a_1><b_2><c_0> <|lat_e|> & <eos> brush"
WORDS = st.sampled_from(["", "Soap", "<a_0>", "Rose oil 4 oz.", "ID of the item: <b_1>", SPELLED, "Éclat"])
TITLES = st.lists(WORDS, min_size=30, max_size=30)
PATHS = st.lists(st.lists(st.integers(0, 29), min_size=4, max_size=9), min_size=1, max_size=3)


@pytest.fixture
def model(build: Build) -> Recommender:
    return build("sid_only")


fixture_is_not_changed = settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(TITLES, PATHS, st.integers(0, 29))
@fixture_is_not_changed
def test_no_prompt_depends_on_its_answer(
    model: Recommender, sids: Sids, titles: list[str], paths: list[list[int]], item: int
) -> None:
    """Give one item another text, or another SID: whatever this item is the answer to keeps its prompt."""
    retitled = [title if n != item else title + "Quite another thing" for n, title in enumerate(titles)]
    codes = sids.codes.clone()
    codes[item] = torch.tensor([(codes[item, 0] + 1) % 5, codes[item, 1], codes[item, 2]])
    recoded = Sids(codes, sids.sizes)
    before = {task.frame: all_rows(task) for task in tasks_of(model, sids, shop(titles, paths))}
    writer = Writer(surroundings(model, sids, shop(titles, paths)))
    told = len(writer.tokens([titles[item]])[0])
    other_sids = tasks_of(model, recoded, shop(titles, paths))
    other_texts = tasks_of(model, sids, shop(retitled, paths))
    for recoded_task, retitled_task in zip(other_sids, other_texts, strict=True):
        name = recoded_task.frame
        if not name.endswith("to_sid") and not told:
            continue  # a text where there was none makes samples of its own
        after = all_rows(recoded_task if name.endswith("to_sid") else retitled_task)
        assert [prompt(row) for row in after] == [prompt(row) for row in before[name]]
        if name == "text_to_sid" and told:
            assert [answer(row) for row in after] != [answer(row) for row in before[name]]


@given(st.lists(st.integers(0, 29), min_size=5, max_size=9), st.data())
@fixture_is_not_changed
def test_no_prompt_depends_on_the_next_item(
    model: Recommender, sids: Sids, path: list[int], data: st.DataObject
) -> None:
    """Nor does its title stand where its SID is asked for, or the other way round."""
    place = data.draw(st.integers(1, len(path) - 3))
    other = [*path[:place], (path[place] + 1) % 30, *path[place + 1 :]]
    titles = [f"thing {n}" for n in range(30)]
    before, after = (tasks_of(model, sids, shop(titles, [each])) for each in (path, other))
    for ours, theirs in zip(before, after, strict=True):
        if ours.frame in ("history_to_title", "titles_to_sid"):
            one, two = ours.row(place - 1), theirs.row(place - 1)
            assert prompt(one) == prompt(two)
            assert answer(one) != answer(two)


@given(TITLES, PATHS)
@fixture_is_not_changed
def test_answers_stand_in_no_prompt(
    model: Recommender, sids: Sids, titles: list[str], paths: list[list[int]]
) -> None:
    """Where a SID is asked for no SID token stands in the prompt; where a text is, only the frame's words."""
    tokenizer = model.backbone.tokenizer
    meant = set(tokenizer.convert_tokens_to_ids(list(sids.vocabulary)))
    bare = tasks_of(model, sids, shop(["x"] * 30, paths))
    frames = {task.frame: set().union(*(prompt(row) for row in all_rows(task))) for task in bare}
    for task in tasks_of(model, sids, shop(titles, paths)):
        for row in all_rows(task):
            inside, asked = set(prompt(row)[1:]) & meant, set(answer(row))
            if task.sid:
                assert not inside
                assert asked <= meant
                assert row.answer == 3
            else:
                assert not asked & meant
                assert set(prompt(row)) - meant <= frames[task.frame]


@given(PATHS)
@fixture_is_not_changed
def test_histories_are_of_the_training_part(model: Recommender, sids: Sids, paths: list[list[int]]) -> None:
    """Held-out items answer no history, and stand in none."""
    titles = [f"thing {n}" for n in range(30)]
    table = {tuple(row): item for item, row in enumerate(model.prompts.table.tokens.tolist())}
    for task in tasks_of(model, sids, shop(titles, paths)):
        if task.frame == "titles_to_sid":
            told = sorted(table[tuple(answer(row))] for row in all_rows(task))
            assert told == sorted(item for path in paths for item in path[:-2][1:])
        if task.frame == "history_to_title":
            assert task.size == sum(len(path) - 3 for path in paths)


def test_rows_as_they_are_written(model: Recommender, sids: Sids) -> None:
    titles = [f"T{n}" if n != 7 else "" for n in range(30)]
    dataset = shop(titles, [[3, 7, 9, 4, 1, 2]])
    tasks = {task.frame: task for task in tasks_of(model, sids, dataset, batch_size=5)}
    text = {
        name: [model.backbone.tokenizer.decode(task.row(n).ids) for n in range(task.size)]
        for name, task in tasks.items()
    }

    def sid(item: int) -> str:
        return "".join(f"<{'abc'[m]}_{code}>" for m, code in enumerate(sids.codes[item].tolist()))

    assert text["text_to_sid"][3] == f"<bos>Item: T3. Ann\nID of the item: {sid(3)}"
    assert len(text["text_to_sid"]) == len(text["sid_to_text"]) == 29
    assert text["sid_to_text"][7] == f"<bos>ID of an item: {sid(8)}\nThe item: T8<eos>"
    assert text["history_to_title"] == [
        f"<bos>IDs of a user's items in order of time: {sid(3)}, {sid(7)}\nTitle of the next item: T9<eos>",
        f"<bos>IDs of a user's items in order of time: {sid(3)}, {sid(7)}, {sid(9)}\n"
        "Title of the next item: T4<eos>",
    ]
    assert text["titles_to_sid"] == [
        f"<bos>A user's items in order of time: {'; '.join(seen)}\nID of the next item: {sid(item)}"
        for seen, item in ((["T3"], 7), (["T3"], 9), (["T3", "T9"], 4))
    ]


def test_what_a_teacher_wrote_is_asked_for_both_ways(model: Recommender, sids: Sids) -> None:
    """Behind the prompts that it wrote about; what spells nothing is left out, and so are SIDs in a text."""
    dataset = shop([f"T{n}" for n in range(30)], [[3, 7, 9, 4, 1, 2], [5, 6, 8, 1]])
    written = [
        (Window(0, 0, 3), "Soap <a_1><b_2><c_0> & brush"),
        (Window(0, 1, 4), "<eos>"),
        (Window(1, 0, 2), "Oil"),
    ]
    asked: list[tuple[object, str, int]] = []

    def write(teacher: object, rule: str, most: int) -> list[tuple[Window, str]]:
        asked.append((teacher, rule, most))
        return written

    env = replace(surroundings(model, sids, dataset), written=write)
    teacher = TemplateTeacherConfig(use="template")
    config = {"teacher": teacher, "samples": "longest_per_user", "max_samples": 7}
    made = [
        task(WrittenTaskConfig.model_validate({"use": task.frame, **config}), env)
        for task in (tasks.IntentionToSid, tasks.HistoryToPreference)
    ]
    assert asked == [(teacher, "longest_per_user", 7)] * 2
    decode = model.backbone.tokenizer.decode

    def sid(item: int) -> str:
        return "".join(f"<{'abc'[m]}_{code}>" for m, code in enumerate(sids.codes[item].tolist()))

    assert [[decode(task.row(n).ids) for n in range(task.size)] for task in made] == [
        [
            f"<bos>A user wants: Soap  & brush\nID of the item: {sid(9)}",
            f"<bos>A user wants: Oil\nID of the item: {sid(6)}",
        ],
        [
            f"<bos>IDs of a user's items in order of time: {sid(3)}, {sid(7)}\n"
            "What the user likes: Soap  & brush<eos>",
            f"<bos>IDs of a user's items in order of time: {sid(5)}\nWhat the user likes: Oil<eos>",
        ],
    ]
    assert [decode(answer(task.row(0))) for task in made] == [sid(9), "Soap  & brush<eos>"]


def test_a_text_that_is_cut_has_no_end_and_spells_no_token_of_meaning(model: Recommender, sids: Sids) -> None:
    dataset = shop([SPELLED] * 30, [[1, 2, 3, 4, 5]])
    tokenizer = model.backbone.tokenizer
    whole, cut = (
        next(
            task
            for task in tasks_of(model, sids, dataset, max_tokens=n, fields=["title"])
            if "sid_to" in task.frame
        )
        for n in (64, 4)
    )
    assert tokenizer.decode(answer(whole.row(0))) == "Soap  & brush<eos>"
    assert len(answer(cut.row(0))) == 4
    assert answer(cut.row(0)) == answer(whole.row(0))[:4]
    texts = shop([SPELLED, "", "<eos>"], [[0, 1, 2]])
    config = ItemTextConfig(use="item_text", max_tokens=5, fields=("title",))
    plain = ItemText(config, surroundings(model, sids, texts))
    assert plain.size == 1
    assert plain.row(0).ids.tolist() == [tokenizer.bos_token_id, *answer(whole.row(0))[:4]]
    assert plain.row(0).answer == 4


def test_draws_are_those_of_the_update_and_differ_between_tasks(model: Recommender, sids: Sids) -> None:
    dataset = shop([f"T{n}" for n in range(30)], [[1, 2, 3, 4, 5]])
    three, four = (tasks_of(model, sids, dataset, seed=seed, batch_size=7) for seed in (3, 4))
    first = [[row.ids.tolist() for row in task.draw(8)] for task in three]
    assert first == [[row.ids.tolist() for row in task.draw(8)] for task in three]
    assert first[0] != [row.ids.tolist() for row in three[0].draw(9)]
    assert first[0] != [row.ids.tolist() for row in four[0].draw(8)]
    # Both draw among thirty items.
    picked = [[row.answer for row in task.draw(8)] and task.key for task in three[:2]]
    assert picked[0] != picked[1]
    assert all(len(rows) == 7 for rows in first)


@pytest.mark.parametrize("score", ["vocabulary", "trie"])
def test_task_losses_are_those_of_plain_forwards(build: Build, sids: Sids, score: str) -> None:
    """Each row alone through transformers' own forward; SIDs compete as the stage says, texts with all."""
    model = build("sid_only")
    catalogue = model.prompts.tokens.tolist()
    dataset = shop(["Soap", "Rose oil", "Brush"] * 10, [[1, 2, 3, 4, 5, 6, 7]])
    answer_term, windows = Answer(AnswerConfig(use="answer"), Env()), [np.array([3, 9])]
    for task in tasks_of(model, sids, dataset):
        terms = {"ce": answer_term, "task": task, "gap": task}
        step = SftStep(model, score, terms)  # type: ignore[arg-type]
        drawn = task.draw(0)[:4]
        expected = 0.0
        for row in drawn:
            with torch.no_grad():
                logits = model.backbone.model(torch.tensor(row.ids)[None]).logits[0]
            for place, token in enumerate(answer(row)):
                at = logits[len(row.ids) - row.answer + place - 1]
                seen = answer(row)[:place]
                allowed = (
                    sorted({item[place] for item in catalogue if item[:place] == seen}) if task.sid else []
                )
                rivals = at[allowed] if task.sid and score == "trie" else at
                expected -= float(at[token] - rivals.logsumexp(0))
        lesson = model.prompts.packed(windows, transparent=True)
        losses = step(replace(lesson, rows={"task": task.collate(drawn), "gap": task.collate([])})).sums
        assert losses["task"].item() == pytest.approx(expected, rel=1e-5)
        assert losses["gap"].item() == 0
        assert losses["ce"].item() == pytest.approx(
            SftStep(model, score, {"ce": answer_term})(lesson).sums["ce"].item(),  # type: ignore[arg-type]
            rel=1e-6,
        )
        step.zero_grad()
        losses["gap"].backward()
        assert all(p.grad is None or not p.grad.any() for p in step.parameters())
