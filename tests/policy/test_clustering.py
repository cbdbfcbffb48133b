"""Local speakers of windows become speakers of the whole."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from asrctl.policy.clustering import UNKNOWN, ClusteringOptions, agglomerate, assign

OPTIONS = ClusteringOptions(join=0.5, merge=0.5, opening_s=1.0)
far = st.floats(0.0, 2.0)


FARTHEST = 2.0


def _symmetric(values: list[float], count: int) -> list[list[float]]:
    return [
        [0.0 if a == b else values[min(a, b) * count + max(a, b)] for b in range(count)] for a in range(count)
    ]


def _average(table: list[list[float]], one: list[int], other: list[int]) -> float:
    return sum(table[a][b] for a in one for b in other) / (len(one) * len(other))


def test_a_near_voice_is_the_known_one_and_a_far_one_opens_another() -> None:
    """The nearest pairs are made first; what is left and was heard long enough is new."""
    assert assign([[0.1, 0.9], [0.2, 1.2]], [2.0, 2.0], 2, OPTIONS) == [0, 2]


def test_a_voice_that_was_hardly_heard_goes_to_the_nearest() -> None:
    """It opens no speaker."""
    assert assign([[1.2, 0.9]], [0.3], 2, OPTIONS) == [1]


def test_two_voices_of_one_window_are_two_people() -> None:
    """Unless there are no more: then one person was taken for two. What was hardly heard is nobody new."""
    assert assign([[0.1], [0.2]], [2.0, 2.0], 1, OPTIONS) == [0, 1]
    one = ClusteringOptions(speakers=1)
    assert assign([[0.1], [0.2]], [2.0, 2.0], 1, one) == assign([[], []], [2.0, 2.0], 0, one) == [0, 0]
    assert assign([[0.1], [0.2]], [2.0, 0.2], 1, OPTIONS) == [0, UNKNOWN]


@given(st.data(), st.integers(0, 4), st.integers(0, 4), st.one_of(st.none(), st.integers(1, 4)))
def test_a_window_gives_each_speaker_once(
    data: st.DataObject, rows: int, known: int, speakers: int | None
) -> None:
    """Numbers are those of known speakers or the next ones, none twice unless there may be no more."""
    table = data.draw(st.lists(st.lists(far, min_size=known, max_size=known), min_size=rows, max_size=rows))
    heard = data.draw(st.lists(st.floats(0.0, 5.0), min_size=rows, max_size=rows))
    given_out = [n for n in assign(table, heard, known, ClusteringOptions(speakers)) if n != UNKNOWN]
    opened = sorted({n for n in given_out if n >= known})
    assert opened == list(range(known, known + len(opened)))
    assert len(given_out) == len(set(given_out)) or (speakers is not None and known + len(opened) >= speakers)
    assert speakers is None or not opened or known + len(opened) <= speakers


def test_near_groups_merge_until_none_is_near() -> None:
    """Two pairs of near voices become two groups, numbered by their first members."""
    table = [[0.0, 1.0, 0.1, 1.1], [1.0, 0.0, 0.9, 0.2], [0.1, 0.9, 0.0, 1.0], [1.1, 0.2, 1.0, 0.0]]
    assert agglomerate(table, [1.0] * 4, [0, 1, 2, 3], OPTIONS) == [0, 1, 0, 1]


def test_averages_count_by_weight() -> None:
    """Linkage is the average over members, and a voice heard for longer counts more."""
    table = [[0.0, 0.1, 0.2], [0.1, 0.0, 0.9], [0.2, 0.9, 0.0]]
    assert agglomerate(table, [9.0, 1.0, 1.0], [0, 1, 2], OPTIONS) == [0, 0, 0]
    assert agglomerate(table, [1.0, 9.0, 1.0], [0, 1, 2], OPTIONS) == [0, 0, 1]


def test_a_number_of_speakers_is_reached_however_far_they_are() -> None:
    """With `speakers`, the threshold does not count."""
    table = [[0.0, 1.5, 1.6], [1.5, 0.0, 1.9], [1.6, 1.9, 0.0]]
    assert agglomerate(table, [1.0] * 3, [0, 1, 2], ClusteringOptions(speakers=2)) == [0, 0, 1]


@given(st.integers(2, 7), st.data(), st.one_of(st.none(), st.integers(1, 3)))
def test_the_nearest_are_merged_first(count: int, data: st.DataObject, speakers: int | None) -> None:
    """As if all distances were looked at before each merge."""
    # whole numbers, whose averages are exact, and far enough from each other not to be the same
    values = [n / 64 for n in data.draw(st.permutations(range(count * count)))]
    table = _symmetric(values, count)
    windows = data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    options = ClusteringOptions(speakers, merge=0.4)
    apart = [
        [FARTHEST if a != b and windows[a] == windows[b] else table[a][b] for b in range(count)]
        for a in range(count)
    ]
    groups = [[index] for index in range(count)]
    while len(groups) > (speakers or 1):
        average, a, b = min((_average(apart, a, b), a, b) for a, b in combinations(groups, 2))
        if speakers is None and average > options.merge:
            break
        groups = sorted([*(each for each in groups if each not in (a, b)), sorted(a + b)])
    expected = sorted(sorted(each) for each in groups)
    found = agglomerate(table, [1.0] * count, windows, options)
    assert expected == [[n for n in range(count) if found[n] == group] for group in range(max(found) + 1)]


def test_two_of_one_window_are_two_people_unless_all_else_says_that_they_are_one() -> None:
    """Segmentation takes one person for two at times: others who are like both outweigh that."""
    near = [[0.1] * 6] * 6
    assert agglomerate([[0.1] * 2] * 2, [1.0] * 2, [0, 0], OPTIONS) == [0, 1]
    assert agglomerate(near, [1.0] * 6, [0, 0, 1, 2, 3, 4], OPTIONS) == [0] * 6


@given(st.integers(1, 7), st.data())
def test_groups_are_numbered_in_the_order_of_their_first_members(count: int, data: st.DataObject) -> None:
    """From 0, whatever the distances."""
    values = data.draw(st.lists(far, min_size=count * count, max_size=count * count))
    windows = data.draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
    groups = agglomerate(_symmetric(values, count), [1.0] * count, windows, OPTIONS)
    assert list(dict.fromkeys(groups)) == list(range(max(groups) + 1))
