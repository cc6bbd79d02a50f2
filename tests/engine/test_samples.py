"""Which samples an epoch holds, and that it visits each once."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.core import samples
from lasar_kit.core.dataset import Sequences

trains = st.lists(st.integers(0, 40), min_size=1, max_size=6).map(
    lambda lengths: Sequences.of([list(range(length)) for length in lengths])
)


@given(trains, st.integers(1, 9))
def test_sliding_has_every_prefix_once(train: Sequences, history: int) -> None:
    windows = samples.sliding(train, history)
    answers = Counter((window.user, window.stop - 1) for window in windows)
    assert answers == Counter((u, i) for u in range(len(train)) for i in range(1, train.lengths[u]))
    assert all(len(window) == min(history, window.stop - 1) + 1 for window in windows)


@given(trains, st.integers(2, 9))
def test_packed_answers_every_item_but_the_first_once(train: Sequences, items: int) -> None:
    windows = samples.packed(train, items)
    answers = Counter((window.user, i) for window in windows for i in range(window.start + 1, window.stop))
    assert answers == Counter((u, i) for u in range(len(train)) for i in range(1, train.lengths[u]))
    assert all(2 <= len(window) <= items for window in windows)


@given(trains, st.integers(2, 9), st.integers(1, 9))
def test_packed_tells_how_many_answers_see_less_than_sliding(
    train: Sequences, items: int, history: int
) -> None:
    """Against each answer's history in `sliding`; where no user is longer than a window there is none."""
    windows = samples.packed(train, items)
    if not windows:
        return
    sliding = {(w.user, w.stop - 1): len(w) - 1 for w in samples.sliding(train, history)}
    seen = {(w.user, i): i - w.start for w in windows for i in range(w.start + 1, w.stop)}
    fewer = [place for place, count in seen.items() if count < sliding[place]]
    assert samples.shortened(windows, history) == len(fewer) / len(sliding)
    if train.lengths.max() <= items:
        assert not fewer


def test_longest_per_user_is_the_last_sliding_one() -> None:
    train = Sequences.of([[1, 2, 3, 4], [5], [6, 7]])
    assert samples.longest_per_user(train, 2) == [samples.Window(0, 1, 4), samples.Window(2, 0, 2)]


@given(trains, st.floats(0, 0.99), st.integers(0, 9))
def test_thinned_windows_keep_their_last_item_and_one_before(
    train: Sequences, largest: float, seed: int
) -> None:
    windows = samples.packed(train, 9)
    if not windows:
        return
    numbers = np.random.default_rng(seed).random((len(windows), 10))
    thin = samples.thinned(windows, largest, numbers)
    for before, after in zip(windows, thin, strict=True):
        assert (after.user, after.start, after.stop) == (before.user, before.start, before.stop)
        assert set(after.places) <= set(before.places)
        assert after.places == sorted(after.places)
        assert after.places[-1] == before.stop - 1
        assert len(after) == len(after.places) >= 2
    if largest == 0:
        assert thin == windows


def test_a_rate_and_what_it_leaves_out_by_hand() -> None:
    """Rates 0.8 * 0.5 and 0.8 * 0.999; two windows lose all they may, so their last but one stays."""
    windows = [samples.Window(0, 3, 8), samples.Window(1, 0, 3), samples.Window(2, 5, 7)]
    numbers = np.array(
        [[0.5, 0.39, 0.41, 0.1, 0.9, 0.0], [0.999, 0.1, 0.2, 0.0, 0.0, 0.0], [0.999, 0.0, 0.0, 0.0, 0.0, 0.0]]
    )
    thin = samples.thinned(windows, 0.8, numbers)
    assert [window.places for window in thin] == [[4, 6, 7], [1, 2], [5, 6]]
    assert [len(window) for window in thin] == [3, 2, 2]


def test_half_of_the_largest_rate_is_left_out_on_average() -> None:
    windows = [samples.Window(user, 0, 200) for user in range(400)]
    thin = samples.thinned(windows, 0.6, np.random.default_rng(0).random((400, 201)))
    shares = [1 - len(window) / 200 for window in thin]
    assert abs(np.mean(shares) - 0.3) < 0.02
    assert abs(np.std(shares) - 0.6 / np.sqrt(12)) < 0.02  # rates are spread evenly over windows


@given(trains, st.integers(1, 7), st.integers(0, 3))
def test_an_epoch_is_a_permutation_fixed_by_seed_and_epoch(train: Sequences, size: int, epoch: int) -> None:
    windows = samples.sliding(train, 5)
    if not windows:
        return
    batches = list(samples.epoch_batches(windows, size, 7, epoch))
    assert sorted(np.concatenate(batches)) == list(range(len(windows)))
    assert all(len(batch) <= size for batch in batches)
    again = list(samples.epoch_batches(windows, size, 7, epoch))
    assert all((a == b).all() for a, b in zip(batches, again, strict=True))


def test_epochs_and_seeds_differ_and_batches_are_of_similar_length() -> None:
    rng = np.random.default_rng(0)
    train = Sequences.of([list(range(n)) for n in rng.integers(3, 30, 400)])
    windows = samples.longest_per_user(train, 50)
    first, second, other = (
        np.concatenate(list(samples.epoch_batches(windows, 16, seed, epoch)))
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    )
    assert (first != second).any()
    assert (first != other).any()
    spreads = [np.ptp([len(windows[i]) for i in b]) for b in samples.epoch_batches(windows, 16, 0, 0)]
    assert np.mean(spreads) < 3


def test_windows_are_a_sequence_of_windows() -> None:
    """Made one by one, and equal to a list of the same; some of them are windows again."""
    windows = samples.sliding(Sequences.of([[1, 2, 3], [4], [5, 6]]), 1)
    listed = [samples.Window(0, 0, 2), samples.Window(0, 1, 3), samples.Window(2, 0, 2)]
    assert windows == listed
    assert listed == windows
    assert windows != listed[:2]
    assert windows != [*listed[:2], samples.Window(2, 0, 3)]
    assert windows[-1] == listed[-1]
    assert windows[1:] == listed[1:]
    assert isinstance(windows.at(np.array([2, 0])), samples.Windows)
    assert windows.at(np.array([2, 0])) == [listed[2], listed[0]]
    with pytest.raises(IndexError):
        windows[3]


def test_drawn_prompts_are_those_at_drawn_places_of_all() -> None:
    train = Sequences.of([list(range(length)) for length in (5, 1, 9)])
    every, some = (samples.prompts(train, "sliding", 4, limit, seed=2) for limit in (0, 5))
    places = np.sort(np.random.default_rng(2).choice(len(every), 5, replace=False))
    assert some == [every[place] for place in places]
