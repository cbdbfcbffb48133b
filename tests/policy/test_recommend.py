"""What is measured, and what follows from it."""

from __future__ import annotations

import pytest

from asrctl.policy.capacity import Costs
from asrctl.policy.recommend import (
    Candidate,
    Capacity,
    Measurement,
    Recommendation,
    by_size,
    candidates,
    capacity,
    layouts,
    recommend,
    untested,
    worth_measuring,
)
from asrctl.policy.sizing import GIB, Model, Resources, Wish

MACHINE = Resources(2, 16 * GIB, 12 * GIB)
TINY = Model("tiny.en-q8_0", 222_000_000, False)
BASE = Model("base-q8_0", 318_000_000, True)


def measured(
    model: str,
    sessions: int,
    *,
    provider: str = "whisper_cpp",
    workers: int = 1,
    threads: int = 2,
    rtf: float = 0.1,
    memory_bytes: int = 150_000_000,
    fixed_s: float = 0.2,
) -> Capacity:
    """A measurement with its count."""
    candidate = Candidate(provider, model, threads, workers)
    return Capacity(Measurement(candidate, Costs(fixed_s, 0.02), rtf, memory_bytes * workers, 0.5), sessions)


def of_two(tiny: int, base: int, wanted: int) -> Recommendation:
    """What is recommended where the two models sustain so many."""
    both = [measured("tiny.en-q8_0", tiny), measured("base-q8_0", base)]
    return recommend(both, [], ["whisper_cpp"], MACHINE, Wish(sessions=wanted))


def test_who_stands_in_was_measured_with_the_same_model() -> None:
    """The most capable first, each once, and nobody who was only seen with another model."""
    found = recommend(
        [
            measured("base-q8_0", 3, memory_bytes=100_000_000),
            measured("base-q8_0", 1, provider="second"),
            measured("base-q8_0", 2, provider="first", memory_bytes=300_000_000),
            measured("base-q8_0", 0, provider="first", workers=2),
            measured("tiny.en-q8_0", 9, provider="other"),
        ],
        [],
        ["other", "second", "first", "whisper_cpp"],
        MACHINE,
        Wish(),
    )
    assert found.providers == ("whisper_cpp", "first", "second")
    assert by_size([], ["whisper_cpp"], MACHINE, Wish()).providers == ()


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        (1, [(1, 1)]),
        (2, [(2, 1), (1, 2)]),
        (3, [(3, 1), (1, 2)]),
        (4, [(4, 1), (2, 2)]),
        (8, [(8, 1), (4, 2), (2, 4)]),
        (32, [(8, 1), (8, 2), (2, 16)]),
    ],
)
def test_layouts(cores: int, expected: list[tuple[int, int]]) -> None:
    """One process, two, and one for every two cores; threads beyond what helps are not tried."""
    assert layouts(cores) == expected


def test_fast_cores_come_first() -> None:
    """Where some are slow, both ways are measured."""
    assert layouts(8, 4) == [(4, 1), (8, 1), (4, 2), (2, 4)]


def test_candidates_go_from_telling_to_nice_to_know() -> None:
    """One process first; small models first, by each provider: there may be no time for the rest."""
    planned = candidates({"whisper_cpp": [BASE, TINY], "faster_whisper": [TINY]}, MACHINE, Wish())
    assert [(each.provider, each.workers, each.model) for each in planned] == [
        ("whisper_cpp", 1, "tiny.en-q8_0"),
        ("faster_whisper", 1, "tiny.en-q8_0"),
        ("whisper_cpp", 1, "base-q8_0"),
        ("whisper_cpp", 2, "tiny.en-q8_0"),
        ("faster_whisper", 2, "tiny.en-q8_0"),
        ("whisper_cpp", 2, "base-q8_0"),
    ]


def test_the_same_weights_are_measured_once() -> None:
    """The smallest precision that hears as well as f16; a coarser one only where there is no other."""
    f16, coarse = Model("base", 384_000_000, True), Model("base-q5_1", 296_000_000, True)
    single = Resources(1, 16 * GIB, 12 * GIB)
    assert [each.model for each in candidates({"p": [f16, BASE, coarse]}, single, Wish())] == ["base-q8_0"]
    assert [each.model for each in candidates({"p": [coarse]}, single, Wish())] == ["base-q5_1"]


def test_what_does_not_fit_or_suit_is_not_measured() -> None:
    """A small container has room for one process of the small model; English models know no German."""
    small = Resources(2, 400_000_000, 350_000_000)
    planned = candidates({"p": [TINY, BASE]}, small, Wish())
    assert [(each.model, each.workers) for each in planned] == [("tiny.en-q8_0", 1)]
    assert {each.model for each in candidates({"p": [TINY, BASE]}, MACHINE, Wish(language="de"))} == {
        "base-q8_0"
    }


def test_larger_than_too_slow_is_not_tried() -> None:
    """Where base serves nobody, small need not be measured, nor base in another layout; tiny may."""
    done = [measured("base-q8_0", 0)]
    assert not worth_measuring(Candidate("whisper_cpp", "small-q8_0", 2, 1), done)
    assert not worth_measuring(Candidate("whisper_cpp", "base-q8_0", 1, 2), done)
    assert worth_measuring(Candidate("whisper_cpp", "tiny.en-q8_0", 2, 1), done)
    assert worth_measuring(Candidate("faster_whisper", "base-q8_0", 2, 1), done)
    assert worth_measuring(Candidate("whisper_cpp", "small-q8_0", 2, 1), [measured("base-q8_0", 1)])


def test_a_measurement_becomes_a_count() -> None:
    """The simulation counts for as many workers as were measured, with the target that was asked for."""
    one, two = measured("tiny", 0).measurement, measured("tiny", 0, workers=2).measurement
    assert capacity(two, Wish()).sessions > capacity(one, Wish()).sessions
    assert capacity(one, Wish(latency_s=0.6)).sessions < capacity(one, Wish()).sessions


def test_the_best_model_that_keeps_up() -> None:
    """Quality first, as long as it sustains what was asked for; the words say what each can do."""
    found = recommend(
        [measured("tiny.en-q8_0", 11), measured("base-q8_0", 3)],
        [],
        ["whisper_cpp"],
        MACHINE,
        Wish(sessions=3),
    )
    assert (found.model, found.sessions, found.command) == ("base-q8_0", 3, "")
    assert found.reasons[0].startswith(
        "base-q8_0 sustains 3 live sessions here, tiny.en-q8_0 11; you asked for 3 (finals within 2 s"
    )


def test_a_smaller_model_for_more_sessions() -> None:
    """Ten sessions are more than base can serve."""
    found = recommend(
        [measured("tiny.en-q8_0", 11), measured("base-q8_0", 3)],
        [],
        ["whisper_cpp"],
        MACHINE,
        Wish(sessions=10),
    )
    assert (found.model, found.sessions) == ("tiny.en-q8_0", 11)


def test_nothing_is_enough() -> None:
    """The one that serves most, and words that say so."""
    found = recommend(
        [measured("tiny.en-q8_0", 4), measured("base-q8_0", 1)],
        [],
        ["whisper_cpp"],
        MACHINE,
        Wish(sessions=10),
    )
    assert (found.model, found.sessions) == ("tiny.en-q8_0", 4)
    assert "nothing that was measured sustains that many; tiny.en-q8_0 comes nearest" in found.reasons
    assert found.reasons[0].startswith("base-q8_0 sustains 1 live session here, tiny.en-q8_0 4;")


def test_no_session_at_all() -> None:
    """A machine that is too slow is told so, with the quickest thing it has."""
    slow = [measured("base-q8_0", 0, rtf=2.0), measured("tiny.en-q8_0", 0, rtf=0.9)]
    found = recommend(slow, [], ["whisper_cpp"], MACHINE, Wish())
    assert (found.model, found.sessions) == ("tiny.en-q8_0", 0)
    assert found.reasons[0].startswith("base-q8_0 sustains no live sessions here, tiny.en-q8_0 none;")


def test_one_process_where_one_is_enough() -> None:
    """A second copy of the model is for those who need it; it is said what that would give."""
    one, two = measured("tiny.en-q8_0", 12), measured("tiny.en-q8_0", 21, workers=2, threads=1, rtf=0.05)
    few = recommend([one, two], [], ["whisper_cpp"], MACHINE, Wish(sessions=10))
    many = recommend([one, two], [], ["whisper_cpp"], MACHINE, Wish(sessions=20))
    assert (few.workers, few.threads, few.sessions) == (1, 2, 12)
    assert (many.workers, many.threads, many.sessions) == (2, 1, 21)
    assert many.reasons[-1] == "2 processes with 1 thread each: 20.0 x real time, 300 MB"
    assert few.reasons[-2].startswith("tiny.en-q8_0 sustains 12 live sessions here; you asked for 10 ")
    assert few.reasons[-1] == (
        "1 process with 2 threads each: 10.0 x real time, 150 MB; for 21 live sessions it would be "
        "2 processes with 1 thread each: 20.0 x real time, 300 MB"
    )


def test_another_provider_is_named() -> None:
    """What it does is told beside the chosen one's."""
    found = recommend(
        [measured("tiny.en-q8_0", 8), measured("tiny.en-q8_0", 12, provider="faster_whisper", rtf=0.05)],
        [],
        ["whisper_cpp", "faster_whisper"],
        MACHINE,
        Wish(sessions=10),
    )
    assert found.provider == "faster_whisper"
    assert "tiny.en-q8_0 (whisper_cpp) 8" in found.reasons[0]


def test_of_two_providers_the_quicker_is_taken() -> None:
    """Though it takes more memory, and the other would do."""
    found = recommend(
        [
            measured("base-q8_0", 2, rtf=0.08, memory_bytes=210_000_000),
            measured("base-q8_0", 20, provider="faster_whisper", rtf=0.03, memory_bytes=290_000_000),
        ],
        [],
        ["whisper_cpp", "faster_whisper"],
        MACHINE,
        Wish(sessions=1),
    )
    assert found.providers == ("faster_whisper", "whisper_cpp")


@pytest.mark.parametrize(("fixed_s", "interval_s"), [(0.01, 1.0), (0.8, 1.5), (2.0, 3.5)])
def test_partials_are_no_closer_than_they_can_be_made(fixed_s: float, interval_s: float) -> None:
    """At most half of the time goes into partials of a usual utterance, in steps of half a second."""
    found = recommend([measured("tiny", 1, fixed_s=fixed_s)], [], ["whisper_cpp"], MACHINE, Wish())
    assert found.partial_interval_s == interval_s


def test_without_measurements_the_class_decides() -> None:
    """The best model that is there and that the class allows; what is too large stays aside."""
    large = Model("large-v3", 3_900_000_000, True)
    found = recommend([], [TINY, BASE, large], ["whisper_cpp"], MACHINE, Wish())
    assert (found.model, found.threads, found.workers, found.sessions) == ("base-q8_0", 2, 1, None)
    assert found.command == "" and "base-q8_0 is there" in found.reasons[0]


def test_without_any_model_there_is_one_command() -> None:
    """The class's model, and what gets it; without a provider the default one is named."""
    found = by_size([], [], MACHINE, Wish())
    assert found.command == "asrctl models pull base-q8_0" and found.provider == "whisper_cpp"
    assert "none of those is there yet" in found.reasons[0]


def test_a_model_that_needs_no_network_is_preferred() -> None:
    """What an installed package can make is proposed before a download; what is ready, before both."""
    from_wheel = Model("tiny.en-q8_0", 222_000_000, False, ready=False)
    machine = Resources(8, 16 * GIB, 12 * GIB)
    assert by_size([from_wheel], ["p"], machine, Wish()).command == "asrctl models pull tiny.en-q8_0"
    assert by_size([from_wheel, BASE], ["p"], machine, Wish()).model == "base-q8_0"
    assert (
        by_size([from_wheel], ["p"], machine, Wish(language="de")).command == "asrctl models pull small-q8_0"
    )


def test_where_nothing_could_be_measured_the_smallest_is_taken() -> None:
    """With the reason, and without a count of sessions that nobody saw."""
    found = untested(Candidate("whisper_cpp", "tiny.en-q8_0", 2, 1))
    assert (found.provider, found.model, found.sessions) == ("whisper_cpp", "tiny.en-q8_0", None)
    assert found.reasons == ("nothing could be measured; tiny.en-q8_0 is the smallest model that is here",)


def test_windows_at_a_time_count_as_processes_do() -> None:
    """What one process does at a time is as good as two that do one each."""

    def sessions(workers: int, parallel: int) -> int:
        candidate = Candidate("faster_whisper", "tiny.en", 1, workers)
        measurement = Measurement(candidate, Costs(0.1, 0.02), 0.1, 10**8, 0.5, parallel=parallel)
        return capacity(measurement, Wish()).sessions

    assert sessions(1, 2) == sessions(2, 1) > sessions(1, 1)
