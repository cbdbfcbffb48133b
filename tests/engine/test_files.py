"""Files through the pool: every word once, in order, at its place, and every sample accounted for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from asrctl.audio.loudness import Loudness
from asrctl.engine.files import FileOptions, FileTranscription, SpeechDetector
from asrctl.engine.pool import WorkerPool
from asrctl.engine.relay import Relay
from asrctl.errors import AudioError, ModelError, UsageError
from asrctl.policy.endpointing import FRAME_SAMPLES, EndpointerOptions
from asrctl.policy.packing import PackingOptions
from asrctl.providers.base import DecodeOptions
from asrctl.providers.scripted import WORD_SAMPLES, speak
from asrctl.transcript import SAMPLE_RATE_HZ, Segment

from .conftest import Script

Samples = NDArray[np.float32]
PoolOf = Callable[..., WorkerPool]
PATIENCE_S = 30
WORD_TIMES = FileOptions(DecodeOptions(word_timestamps=True))


class Threshold:
    """Finds the scripted words: a frame with any of their level in it is speech, the fuller the surer."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)

    def probabilities(self, samples: Samples) -> Samples:
        joined = np.concatenate((self._rest, samples))
        whole = len(joined) - len(joined) % FRAME_SAMPLES
        self._rest = joined[whole:]
        loud = (joined[:whole].reshape(-1, FRAME_SAMPLES) >= 0.1).mean(axis=1)
        return np.where(loud > 0, 0.5 + loud / 2, 0).astype(np.float32)

    def flush(self) -> Samples:
        return self.probabilities(np.zeros(-len(self._rest) % FRAME_SAMPLES, np.float32))


def quiet(duration_s: float) -> Samples:
    return np.zeros(round(duration_s * SAMPLE_RATE_HZ), np.float32)


def sliced(audio: Samples, sizes: Sequence[int] = (4000,)) -> Iterator[Samples]:
    """The audio in chunks of these sizes, over and over."""
    at = turn = 0
    while at < len(audio):
        size = sizes[turn % len(sizes)]
        yield audio[at : at + size]
        at, turn = at + size, turn + 1


def transcription(
    audio: Samples | Iterable[Samples],
    pool: WorkerPool | Relay,
    options: FileOptions = WORD_TIMES,
    detector: SpeechDetector | None = None,
) -> FileTranscription:
    chunks = sliced(audio) if isinstance(audio, np.ndarray) else audio
    return FileTranscription(chunks, pool, detector or Threshold(), options, name="test")


def texts(segments: Iterable[Segment]) -> list[str]:
    return [word for segment in segments for word in segment.text.split()]


def feeders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "feeder"]


def assert_balanced(result: FileTranscription, received_samples: int) -> None:
    account = result.account
    assert account.received_samples == received_samples
    assert account.pending_samples == 0
    assert min(account.speech_samples, account.silence_samples, account.dropped_samples) >= 0


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerPool]:
    """Two workers without faults, for the tests that run many streams."""
    from asrctl.engine.slot import PoolOptions
    from asrctl.providers.base import ModelSpec

    path = tmp_path_factory.mktemp("script") / "script.json"
    path.write_text("{}")
    with WorkerPool(ModelSpec("scripted", path), PoolOptions(workers=2)) as pool:
        pool.wait_ready()
        yield pool


def test_order_with_two_workers(script: Script, pool_of: PoolOf) -> None:
    """Segments come in the order of the audio, although the first window takes longest to decode."""
    pool = pool_of(script(hang_on=["w0"], crashes=1), workers=2, job_deadline_s=1.5, deadline_factor=0.0)
    groups = [speak(range(10 * at, 10 * at + 10)) for at in range(8)]
    audio = np.concatenate([piece for group in groups for piece in (group, quiet(3))])
    options = FileOptions(WORD_TIMES.decode, packing=PackingOptions(max_window_s=12, first_window_s=1))
    segments = list(transcription(audio, pool, options))
    assert texts(segments) == [f"w{at}" for at in range(80)]
    assert all(one.end_s <= other.start_s for one, other in pairwise(segments))
    assert pool.restarts == 1


def test_times_refer_to_the_source(shared_pool: WorkerPool) -> None:
    """A word's times are where it was spoken in the input, also where pauses were cut out of its window."""
    starts_s = (1.0, 3.5, 9.25, 40.0)
    audio = quiet(42)
    for number, start_s in enumerate(starts_s):
        at = round(start_s * SAMPLE_RATE_HZ)
        audio[at : at + WORD_SAMPLES] = speak([number])
    segments = list(transcription(audio, shared_pool))
    words = [word for segment in segments for word in segment.words]
    assert [word.text for word in words] == ["w0", "w1", "w2", "w3"]
    assert [word.start_s for word in words] == pytest.approx(starts_s, abs=1e-3)
    assert [word.end_s for word in words] == pytest.approx([at + 0.18 for at in starts_s], abs=1e-3)
    assert segments[0].start_s == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(("sure_with", "heard"), [("w7", ["w1", "w7", "w2"]), ("w9", ["w1", "w2"])])
def test_quiet_speech_in_a_pause(script: Script, pool_of: PoolOf, sure_with: str, heard: list[str]) -> None:
    """A doubtful window is decoded again with its pauses, which may hold speech; the surer text is taken."""
    audio = quiet(6)
    starts_s = {1: 1.0, 7: 2.0, 2: 3.0}
    for number, start_s in starts_s.items():
        at = round(start_s * SAMPLE_RATE_HZ)
        audio[at : at + WORD_SAMPLES] = speak([number])

    class Deaf(Threshold):
        """Does not hear the word at 2 s."""

        def probabilities(self, samples: Samples) -> Samples:
            missed = np.isclose(samples, speak([7])[0])
            return super().probabilities(np.where(missed, 0, samples).astype(np.float32))

    result = transcription(audio, pool_of(script(unsure_without=sure_with)), detector=Deaf())
    words = [word for segment in result for word in segment.words]
    assert [word.text for word in words] == heard
    assert [round(word.start_s, 1) for word in words] == [
        float(1 + (1, 7, 2).index(int(w[1:]))) for w in heard
    ]
    assert_balanced(result, len(audio))


SPOKEN = st.lists(st.tuples(st.integers(0, 60_000), st.integers(1, 70)), max_size=6)
SIZES = st.lists(st.just(0) | st.integers(200, 40_000), min_size=1, max_size=5).filter(any)


@settings(max_examples=25, deadline=None)
@given(SPOKEN, SIZES, st.integers(0, 20_000))
def test_no_word_lost_or_doubled(
    shared_pool: WorkerPool, spoken: list[tuple[int, int]], sizes: list[int], tail_samples: int
) -> None:
    """Whatever the pauses, lengths of speech, chunks: each word once, in order, no sample untold."""
    pieces, count = [np.zeros(0, np.float32)], 0
    for pause_samples, words in spoken:
        pieces += [np.zeros(pause_samples, np.float32), speak(range(count, count + words))]
        count += words
    audio = np.concatenate([*pieces, np.zeros(tail_samples, np.float32)])
    result = transcription(sliced(audio, sizes), shared_pool)
    assert texts(result) == [f"w{number}" for number in range(count)]
    assert_balanced(result, len(audio))
    assert result.account.dropped_samples == 0
    assert result.lost == []


@settings(max_examples=15, deadline=None)
@given(SPOKEN.filter(bool), SIZES)
def test_result_does_not_depend_on_chunks(
    shared_pool: WorkerPool, spoken: list[tuple[int, int]], sizes: list[int]
) -> None:
    """The same audio in other chunks gives the same segments and the same account."""
    audio = np.concatenate(
        [piece for pause, words in spoken for piece in (np.zeros(pause, np.float32), speak(range(words)))]
    )
    whole, cut = transcription([audio], shared_pool), transcription(sliced(audio, sizes), shared_pool)
    assert list(whole) == list(cut)
    assert whole.account == cut.account


def test_silence_is_never_submitted(script: Script, pool_of: PoolOf) -> None:
    """An input without speech costs no decode, needs no model, and is all accounted as silence."""
    pool = pool_of(script(fail_load="asked for a decode"))
    result = transcription(quiet(60), pool)
    assert list(result) == []
    assert result.account.silence_samples == 60 * SAMPLE_RATE_HZ
    assert_balanced(result, 60 * SAMPLE_RATE_HZ)


def test_empty_input(shared_pool: WorkerPool) -> None:
    """No samples at all: no segments, no language, an account of zeros."""
    result = transcription([], shared_pool)
    assert list(result) == []
    assert result.language == ""
    assert_balanced(result, 0)


def test_refused_windows_are_declared(script: Script, pool_of: PoolOf) -> None:
    """What the recogniser refuses is dropped by name and to the sample; the rest is transcribed."""
    pool = pool_of(script(refuse_on=["w25"]))
    audio = np.concatenate([quiet(1), *(speak(range(at, at + 20)) for at in range(0, 60, 20)), quiet(2)])
    options = FileOptions(
        endpointing=EndpointerOptions(max_utterance_s=4), packing=PackingOptions(max_window_s=4)
    )
    result = transcription(audio, pool, options)
    heard = texts(result)
    lost = [f"w{number}" for number in range(60) if f"w{number}" not in heard]
    assert "w25" in lost
    assert len(lost) <= 4 * SAMPLE_RATE_HZ // WORD_SAMPLES
    assert heard == [f"w{number}" for number in range(60) if f"w{number}" not in lost]
    assert len(result.lost) == 1
    assert result.lost[0].endswith("s: refused by the script")
    assert 0 < result.account.dropped_samples <= 4 * SAMPLE_RATE_HZ
    assert_balanced(result, len(audio))


def test_everything_refused(script: Script, pool_of: PoolOf) -> None:
    """An input whose every window is refused ends with all its speech declared dropped, and no error."""
    result = transcription(
        np.concatenate([speak([1]), quiet(40), speak([1])]), pool_of(script(refuse_on=["w1"]))
    )
    assert list(result) == []
    assert len(result.lost) == 2
    assert result.account.speech_samples == 0
    assert_balanced(result, 2 * WORD_SAMPLES + 40 * SAMPLE_RATE_HZ)


@pytest.mark.parametrize("fault", ["crash_on", "hang_on"])
def test_lost_workers_lose_no_words(script: Script, pool_of: PoolOf, fault: str) -> None:
    """A worker that dies or hangs on a window is replaced, and the window is decoded by the next."""
    pool = pool_of(script(**{fault: ["w7"]}, crashes=1), job_deadline_s=1.0, deadline_factor=0.0)
    result = transcription(speak(range(40)), pool)
    assert texts(result) == [f"w{number}" for number in range(40)]
    assert result.lost == []
    assert pool.restarts == 1


def test_window_that_kills_every_worker(script: Script, pool_of: PoolOf) -> None:
    """A window no worker survives is declared dropped, and the input goes on behind it."""
    audio = np.concatenate([speak([7]), quiet(40), speak([8])])
    result = transcription(audio, pool_of(script(crash_on=["w7"]), attempts=2))
    assert texts(result) == ["w8"]
    assert "gave up after 2 attempts" in result.lost[0]
    assert result.account.dropped_samples > 0
    assert_balanced(result, len(audio))


class Languages:
    """Stands in for a pool: hears any language it is told, and writes down what it was asked for."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self.width = pool.width
        self.abort = pool.abort
        self.asked: list[str] = []

    def submit(self, samples: Samples, options: DecodeOptions, ticket: object) -> object:
        from dataclasses import replace

        self.asked.append(options.language)
        heard = "de" if options.language == "auto" else options.language
        return self._pool.submit(samples, replace(options, language=heard), ticket)  # type: ignore[arg-type]


@pytest.mark.parametrize(("language", "asked"), [("auto", ["auto", "de", "de"]), ("fr", ["fr"] * 3)])
def test_language_is_pinned_by_the_first_window(
    shared_pool: WorkerPool, language: str, asked: list[str]
) -> None:
    """With "auto" the first window decides for all; a language that is given is never asked about."""
    audio = np.concatenate([piece for _ in range(3) for piece in (speak(range(20)), quiet(40))])
    pool = Languages(shared_pool)
    result = transcription(audio, pool, FileOptions(DecodeOptions(language=language)))  # type: ignore[arg-type]
    assert len(texts(result)) == 60
    assert pool.asked == asked
    assert result.language == asked[-1]


def test_language_is_asked_again_when_the_first_window_is_lost(script: Script, pool_of: PoolOf) -> None:
    """A first window that is refused pins nothing: the next one decides."""
    audio = np.concatenate([speak([1]), quiet(40), speak([2]), quiet(40), speak([3])])
    pool = Languages(pool_of(script(refuse_on=["w1"])))
    result = transcription(audio, pool, FileOptions(DecodeOptions(language="auto")))  # type: ignore[arg-type]
    assert texts(result) == ["w2", "w3"]
    assert pool.asked == ["auto", "auto", "de"]
    assert result.language == "de"


def test_segments_before_the_break_are_given(shared_pool: WorkerPool) -> None:
    """All windows that were complete before the input broke are given before its error is."""

    def breaks() -> Iterator[Samples]:
        yield np.concatenate([speak(range(30)), quiet(40)])
        raise AudioError("the cable was pulled")

    iterator = iter(transcription(breaks(), shared_pool))
    assert next(iterator).text.split()[0] == "w0"
    with pytest.raises(AudioError, match="the cable was pulled"):
        list(iterator)
    until(lambda: not feeders())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_bug_in_the_feeder_surfaces(shared_pool: WorkerPool) -> None:
    """Even an error nobody foresaw reaches the caller: it must not wait for ever."""

    class Broken(Threshold):
        def probabilities(self, samples: Samples) -> Samples:
            raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        list(transcription(speak([1]), shared_pool, detector=Broken()))
    until(lambda: not feeders())


def test_weights_that_do_not_load(script: Script, pool_of: PoolOf) -> None:
    """Speech without a model is the model's error, not a dropped window."""
    with pytest.raises(ModelError, match="no weights"):
        list(transcription(speak([1]), pool_of(script(fail_load="no weights"))))


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0)


def test_stopping_early_leaves_nothing(script: Script, pool_of: PoolOf) -> None:
    """A caller that stops after one segment leaves no thread, no decode and no reading behind."""
    pool = pool_of(script(hang_on=["w5"]), workers=1)
    read: list[int] = []

    def endless() -> Iterator[Samples]:
        for number in range(10_000):
            read.append(number)
            yield np.concatenate([speak([min(number, 5)] * 10), quiet(40)])

    segments = iter(transcription(endless(), pool))
    assert next(segments).text.startswith("w0")
    segments.close()  # type: ignore[attr-defined]
    until(lambda: not feeders())
    assert len(read) < 20
    until(lambda: pool.queued() == 0)
    assert pool.submit(speak([9]), DecodeOptions()).result(PATIENCE_S).text == "w9"
    assert pool.restarts == 0


def test_nothing_is_read_before_it_is_asked_for(shared_pool: WorkerPool) -> None:
    """Making a transcription touches neither the input nor the pool."""

    def untouched() -> Iterator[Samples]:
        pytest.fail("read too early")
        yield quiet(1)

    transcription(untouched(), shared_pool)
    assert not feeders()


@pytest.mark.parametrize("talk_s", [1, 20, 0])
def test_memory_is_bounded(shared_pool: WorkerPool, talk_s: int) -> None:
    """However long the input and however rare its speech, at most two minutes of it are held."""
    block = np.concatenate([speak([1] * (5 * talk_s)), quiet(30)])
    held: list[int] = []

    def long() -> Iterator[Samples]:
        for number in range(40):
            yield from sliced(block if number % 4 == 0 else quiet(60), (16_000,))
            held.append(result._buffer.end_sample - result._buffer.start_sample)

    result = transcription(long(), shared_pool)
    assert len(texts(result)) == 10 * 5 * talk_s
    assert max(held) <= 120 * SAMPLE_RATE_HZ
    assert_balanced(result, 10 * len(block) + 30 * 60 * SAMPLE_RATE_HZ)


def test_speech_is_not_held_back_by_a_pause(shared_pool: WorkerPool) -> None:
    """On an input that goes quiet, what was said comes out without waiting for more speech or the end."""
    said = threading.Event()

    def goes_quiet() -> Iterator[Samples]:
        yield speak(range(3))
        for _ in range(60):
            yield quiet(1)
        assert said.wait(PATIENCE_S)

    for segment in transcription(goes_quiet(), shared_pool):
        assert segment.text == "w0 w1 w2"
        said.set()
    assert said.is_set()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 90), SIZES)
def test_without_voice_activity_everything_is_decoded(
    shared_pool: WorkerPool, words: int, sizes: list[int]
) -> None:
    """With the stand-in for `--no-vad` all samples are speech, silence too, and words survive the cuts."""
    audio = np.concatenate([quiet(1), speak(range(words)), quiet(1)])
    result = transcription(sliced(audio, sizes), shared_pool, detector=Loudness())
    assert texts(result) == [f"w{number}" for number in range(words)]
    assert_balanced(result, len(audio))
    assert result.account.speech_samples == len(audio)


def test_progress(shared_pool: WorkerPool) -> None:
    """`done_samples` grows with each window and ends at the last speech; the time of decodes is summed."""
    audio = np.concatenate([piece for _ in range(3) for piece in (speak(range(20)), quiet(40))])
    result, seen = transcription(audio, shared_pool), []
    for _ in result:
        seen.append(result.done_samples)
    assert seen == sorted(set(seen))
    assert 92 * SAMPLE_RATE_HZ <= result.done_samples <= 92 * SAMPLE_RATE_HZ + 8 * FRAME_SAMPLES
    assert result.inference_s > 0


def test_utterances_must_fit_windows() -> None:
    """Options that would let an utterance outgrow a window are refused at once, not halfway through."""
    with pytest.raises(UsageError, match="max_utterance_s"):
        FileOptions(
            endpointing=EndpointerOptions(max_utterance_s=13), packing=PackingOptions(max_window_s=12)
        )


def test_defaults_take_speech_without_pauses(shared_pool: WorkerPool) -> None:
    """With the default options a minute of talk without any pause is transcribed whole."""
    result = transcription(speak([3] * 300), shared_pool, FileOptions())
    assert texts(result) == ["w3"] * 300
