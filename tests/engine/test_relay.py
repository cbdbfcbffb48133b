"""Files whose provider fails: the next takes the windows, every word comes once, and who it was is told."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError

import numpy as np
import pytest

from asrctl.engine.deferred import DeferredRecognizer
from asrctl.engine.files import FileOptions
from asrctl.engine.lineup import Lineup, Member
from asrctl.engine.pool import BATCH, WorkerPool
from asrctl.engine.relay import Relay
from asrctl.errors import ModelError, WorkerCrashed
from asrctl.policy.endpointing import EndpointerOptions
from asrctl.policy.packing import PackingOptions
from asrctl.providers.base import DecodeOptions
from asrctl.providers.scripted import speak

from .conftest import Script
from .test_files import WORD_TIMES, Samples, assert_balanced, quiet, texts, transcription

PoolOf = Callable[..., WorkerPool]
WINDOWS = FileOptions(
    WORD_TIMES.decode,
    EndpointerOptions(overlong_s=3.0, max_utterance_s=3.0),
    PackingOptions(max_window_s=3, first_window_s=1),
)
WORDS = [f"w{number}" for number in range(40)]
PATIENCE_S = 30


@pytest.fixture
def audio() -> Samples:
    """Four windows of ten words."""
    groups = [speak(range(10 * at, 10 * at + 10)) for at in range(4)]
    return np.concatenate([piece for group in groups for piece in (group, quiet(11))])


def relay_of(*pools: WorkerPool) -> Relay:
    return Relay(Lineup([Member(f"p{at}", pool) for at, pool in enumerate(pools)]))


def test_a_provider_that_keeps_failing_with_a_window(audio: Samples, script: Script, pool_of: PoolOf) -> None:
    """Only that window goes to the next; all words come once and in order, nothing is dropped."""
    relay = relay_of(pool_of(script(crash_on=["w15"])), pool_of(script()))
    work = transcription(audio, relay, WINDOWS)
    assert texts(work) == WORDS
    assert work.providers == ["p0", "p1"] and not work.lost
    assert_balanced(work, len(audio))
    assert work.account.dropped_samples == 0
    assert list(relay.failures()) == ["p0"] and "gave up after 3 attempts" in relay.failures()["p0"]


def test_a_provider_that_does_not_load(audio: Samples, script: Script, pool_of: PoolOf) -> None:
    """The next does all of it, and is named alone."""
    work = transcription(
        audio, relay_of(pool_of(script(fail_load="no such thing")), pool_of(script())), WINDOWS
    )
    assert texts(work) == WORDS
    assert work.providers == ["p1"] and work.account.dropped_samples == 0


def test_a_window_that_nobody_can_decode(audio: Samples, script: Script, pool_of: PoolOf) -> None:
    """It alone is declared dropped, with what each said; the one that is dead does not end the file."""
    relay = relay_of(pool_of(script(fail_load="no such thing")), pool_of(script(refuse_on=["w15"])))
    work = transcription(audio, relay, WINDOWS)
    assert texts(work) == WORDS[:10] + WORDS[20:]
    assert len(work.lost) == 1
    assert "p1: refused by the script" in work.lost[0] and "p0: no such thing" in work.lost[0]
    assert_balanced(work, len(audio))


def test_a_reserve_that_cannot_be_made_does_not_end_the_file(
    audio: Samples, script: Script, pool_of: PoolOf
) -> None:
    """The window that needed it is dropped, since its own provider goes on with the others."""

    def make() -> WorkerPool:
        raise ModelError("no weights")

    lineup = Lineup(
        [Member("p0", pool_of(script(refuse_on=["w15"]))), Member("p1", DeferredRecognizer(make))]
    )
    work = transcription(audio, Relay(lineup), WINDOWS)
    assert texts(work) == WORDS[:10] + WORDS[20:]
    assert "refused by the script" in work.lost[0] and "no weights" in work.lost[0]


def test_everybody_is_dead(audio: Samples, script: Script, pool_of: PoolOf) -> None:
    """The file fails, with the reasons of all."""
    relay = relay_of(pool_of(script(fail_load="first")), pool_of(script(fail_load="second")))
    with pytest.raises(ModelError, match=r"p0: first; p1: second"):
        list(transcription(audio, relay, WINDOWS))


def test_alone_its_error_is_its_own(script: Script, pool_of: PoolOf) -> None:
    """Where nobody stands in, nothing is added to what it said."""
    future = relay_of(pool_of(script(crash_on=["w1"]))).submit(speak([1]), DecodeOptions(), BATCH)
    with pytest.raises(WorkerCrashed, match=r"^gave up after 3 attempts"):
        future.result(PATIENCE_S)


def test_an_aborted_window_goes_to_nobody(script: Script, pool_of: PoolOf) -> None:
    """Its provider gives it up, takes the next, and the reserve hears of neither."""
    relay = relay_of(pool_of(script(hang_on=["w1"])), pool_of(script()))
    future = relay.submit(speak([1]), DecodeOptions(), BATCH)
    relay.abort(future)
    with pytest.raises(CancelledError):
        future.result(PATIENCE_S)
    after = relay.submit(speak([2]), DecodeOptions(), BATCH).result(PATIENCE_S)
    assert (after.text, after.provider, relay.failures()) == ("w2", "p0", {})


def test_a_pool_that_closes_is_no_failure(script: Script, pool_of: PoolOf) -> None:
    """What it cancels is cancelled, and not handed on while all is being closed."""
    pool = pool_of(script())
    pool.close()
    relay = relay_of(pool, pool_of(script()))
    with pytest.raises(CancelledError):
        relay.submit(speak([1]), DecodeOptions(), BATCH).result(PATIENCE_S)
    assert relay.failures() == {}
