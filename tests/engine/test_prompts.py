"""The one prompt builder: what it writes, and where the answers are."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lasar_kit.core.vocabulary import sid_token
from lasar_kit.data.sids import Sids
from lasar_kit.errors import UserError
from lasar_kit.model.recommender import Recommender

Build = Callable[..., Recommender]


def spelled(sids: Sids, item: int) -> str:
    return "".join(sid_token(level, code) for level, code in enumerate(sids.codes[item].tolist()))


def test_minionerec_template_reads_as_the_paper_prints_it(build: Build, sids: Sids) -> None:
    recommender = build("minionerec")
    batch = recommender.prompts.prompts([np.array([4, 7])])
    text = recommender.backbone.tokenizer.decode(batch.ids[0])
    assert (
        f"The user has interacted with items {spelled(sids, 4)}, {spelled(sids, 7)} in chronological order"
        in text
    )
    assert text.startswith("Below is an instruction that describes a task, paired with an input")
    assert text.endswith("### Response:\n")


def test_tokenising_the_parts_is_tokenising_the_whole(build: Build) -> None:
    recommender = build("minionerec")
    tokenizer = recommender.backbone.tokenizer
    batch = recommender.prompts.prompts([np.array([1, 2, 3])])
    assert tokenizer(tokenizer.decode(batch.ids[0]))["input_ids"] == batch.ids[0].tolist()


def test_a_prompt_of_nothing_is_refused_by_name(build: Build) -> None:
    """A template of the history alone, for a user without one; `sid_only` still has its start token."""
    bare = build({"name": "template", "text": "{history}"}).prompts
    assert bare.prompts([np.array([4]), np.array([4, 7])]).lengths.tolist() == [3, 8]
    with pytest.raises(UserError, match=r"^prompt template: nothing is left of it for a user with"):
        bare.prompts([np.array([4, 7]), np.array([], dtype=np.int64)])
    assert build("sid_only").prompts.prompts([np.array([], dtype=np.int64)]).lengths.tolist() == [1]


def test_sid_only_is_a_start_token_and_the_latest_items(build: Build, sids: Sids) -> None:
    recommender = build("sid_only", max_history=2)
    batch = recommender.prompts.prompts([np.array([9, 4, 7]), np.array([5])])
    tokenizer = recommender.backbone.tokenizer
    assert tokenizer.decode(batch.ids[0]) == tokenizer.bos_token + spelled(sids, 4) + spelled(sids, 7)
    assert batch.lengths.tolist() == [7, 4]
    assert (batch.ids[1, :3] == tokenizer.pad_token_id).all()
    assert batch.tips.tolist() == [[6], [6]]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(windows=st.lists(st.lists(st.integers(0, 29), min_size=2, max_size=6), min_size=1, max_size=4))
@pytest.mark.parametrize("prompt", ["sid_only", "minionerec"])
def test_packed_answers_follow_the_prompts_of_single_samples(
    build: Build, prompt: str, windows: list[list[int]]
) -> None:
    prompts = build(prompt).prompts
    lesson = prompts.packed([np.array(window) for window in windows], transparent=True)
    batch = lesson.prompts
    assert lesson.inline == (prompt == "sid_only")
    for row, window in enumerate(windows):
        for place in range(len(window) - 1):
            assert batch.mask[row, place]
            single = prompts.prompts([np.array(window[: place + 1])])
            start = batch.ids.shape[1] - batch.lengths[row]
            chain = batch.ids[row, start : batch.tips[row, place] + 1].tolist() + batch.tail.tolist()
            assert chain == single.ids[0].tolist()
            answer = prompts.tokens[window[place + 1]].tolist()
            assert lesson.targets[row, place].tolist() == answer
            if lesson.inline:
                tip = int(batch.tips[row, place])
                assert batch.ids[row, tip + 1 : tip + 4].tolist() == answer
        assert not batch.mask[row, len(window) - 1 :].any()


def test_max_length_drops_the_oldest_items(build: Build, sids: Sids) -> None:
    """Of [head] a, b, c [tail]: as many items as fit, separators between them, and not a token more."""
    history = np.array([4, 7, 1, 2, 3])
    whole = build("minionerec").prompts
    tokenizer = build("minionerec").backbone.tokenizer
    apart = len(tokenizer(", ")["input_ids"])
    text = len(tokenizer(tokenizer.decode(whole.head))["input_ids"]) + len(whole.tail)
    spelled_by = sids.codes.shape[1]
    for kept in (1, 2, 4):
        least = text + kept * spelled_by + (kept - 1) * apart
        for room in (0, spelled_by + apart - 1):  # one token short of another item
            bounded = build({"name": "minionerec", "max_length": least + room}).prompts  # type: ignore[dict-item]
            batch = bounded.prompts([history, history[:1]])
            assert bounded.fit == bounded.max_history == kept
            assert batch.lengths[0] == least
            assert batch.ids[0].tolist() == whole.prompts([history[-kept:]]).ids[0].tolist()
            assert batch.lengths[1] == whole.prompts([history[:1]]).lengths[0]
    assert build({"name": "minionerec", "max_length": 10_000}).prompts.max_history == 6  # type: ignore[dict-item]


def test_max_length_says_what_it_cuts_and_refuses_to_hold_nothing(build: Build) -> None:
    bounded = build({"name": "sid_only", "max_length": 9}).prompts  # type: ignore[dict-item]
    assert bounded.max_history == 2, "a start token and two items of three tokens; a third would make ten"
    assert bounded.cut([1, 2, 3, 5]) == 0.5
    assert bounded.cut_line([2, 3]) == (
        "prompt.max_length holds 2 items: 50.0% of histories lose their oldest ones"
    )
    assert bounded.cut_line([1, 2]) is None


def test_nothing_is_cut_where_no_length_is_set(build: Build) -> None:
    """Packed windows may be longer than a history."""
    assert build({"name": "sid_only"}).prompts.cut_line([1, 50]) is None  # type: ignore[dict-item]
    with pytest.raises(
        UserError, match=r"prompt\.max_length: 3 tokens hold no item: the text of sid_only takes 1"
    ):
        build({"name": "sid_only", "max_length": 3})
