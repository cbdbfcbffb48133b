"""Files: every word once, in order, at its place, every sample accounted for, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrctl.audio.loudness import Loudness
from asrctl.errors import AudioError, DecodeError, ModelError, ProviderError, UsageError, WorkerCrashed
from asrctl.policy.endpointing import FRAME_SAMPLES, EndpointerOptions
from asrctl.policy.language import LanguageBelief, pieces
from asrctl.policy.packing import PackingOptions
from asrctl.policy.priority import Ticket
from asrctl.providers.base import DecodeOptions
from asrctl.providers.recognizer import Recognizer, WindowDecoder
from asrctl.streaming.fallback import Fallback
from asrctl.streaming.files import FileOptions, FileTranscription
from asrctl.streaming.pooled import DeferredRecognizer
from asrctl.streaming.source import Reader
from asrctl.streaming.stream import SpeechDetector
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, LanguageEvidence, Segment
from asrctl_tests.scripted import WORD_SAMPLES, listen, speak
from tests.streaming.puppets import Decoder, windowed
from tests.streaming.speech import PATIENCE_S, LevelDetector, Samples, heard_in, joined, silence, until, words
from tests.streaming.virtual import others
from tests.workers.conftest import PoolOf, Script

WORD_TIMES = FileOptions(DecodeOptions(word_timestamps=True))
WINDOWS = FileOptions(
    WORD_TIMES.decode,
    EndpointerOptions(overlong_s=3.0, max_utterance_s=3.0),
    PackingOptions(max_window_s=3, first_window_s=1),
)


class Faulty:
    """A `WindowDecoder` that hears all, and fails with windows in which certain words are."""

    def __init__(self, width: int = 2, **faults: Exception) -> None:
        self.width = width
        self.faults = faults
        self.refuse_from: int | None = None
        self.asked: list[DecodeOptions] = []

    async def decode(self, samples: Samples, options: DecodeOptions, ticket: Ticket) -> Hypothesis:
        self.asked.append(options)
        await asyncio.sleep(0)
        if self.refuse_from is not None and len(self.asked) > self.refuse_from:
            raise DecodeError("refused")
        hypothesis = heard_in(samples, "de" if options.language == "auto" else options.language)
        for word in hypothesis.text.split():
            if word in self.faults:
                raise self.faults[word]
        return hypothesis

    async def wait_ready(self) -> None:
        pass

    def pids(self) -> list[int]:
        return []

    async def close(self) -> None:
        pass


async def sliced(audio: Samples, sizes: Sequence[int] = (4000,)) -> AsyncIterator[Samples]:
    """The audio in chunks of these sizes, over and over."""
    at = turn = 0
    while at < len(audio):
        size = sizes[turn % len(sizes)]
        yield audio[at : at + size]
        at, turn = at + size, turn + 1


def transcription(
    audio: Samples | AsyncIterator[Samples],
    decoder: WindowDecoder,
    options: FileOptions = WORD_TIMES,
    detector: SpeechDetector | None = None,
) -> FileTranscription:
    chunks = sliced(audio) if isinstance(audio, np.ndarray) else audio
    return FileTranscription(chunks, decoder, detector or LevelDetector(), options, name="test")


async def all_of(work: FileTranscription) -> list[Segment]:
    async with asyncio.timeout(PATIENCE_S), aclosing(work.segments()) as segments:
        return [segment async for segment in segments]


def texts(segments: Iterable[Segment]) -> list[str]:
    return [word for segment in segments for word in segment.text.split()]


def assert_balanced(work: FileTranscription, received_samples: int) -> None:
    account = work.account
    assert (account.received_samples, account.pending_samples) == (received_samples, 0)
    assert min(account.speech_samples, account.silence_samples, account.dropped_samples) >= 0


async def assert_nothing_left() -> None:
    """No task, and no exception that nobody asked for."""
    gc.collect()
    await asyncio.sleep(0)
    assert not others()


# Words, times and order


async def test_order_with_several_windows_at_a_time() -> None:
    """Segments come in the order of the audio, although the first window takes longest to decode."""
    decoder = Decoder(width=2)
    groups = [speak(range(10 * at, 10 * at + 10)) for at in range(8)]
    audio = joined(*(piece for group in groups for piece in (group, silence(3))))
    options = FileOptions(WORD_TIMES.decode, packing=PackingOptions(max_window_s=12, first_window_s=1))
    task = asyncio.create_task(all_of(transcription(audio, decoder, options)))
    while not task.done():
        await asyncio.sleep(0.001)
        if decoder.waiting:
            decoder.waiting[-1].answer()
    segments = task.result()
    assert texts(segments) == words(*range(80))
    assert all(one.end_s <= other.start_s for one, other in pairwise(segments))
    assert {call.ticket.session for call in decoder.calls} == {"test"}


async def test_times_refer_to_the_source() -> None:
    """A word's times are where it was spoken in the input, also where pauses were cut out of its window."""
    starts_s = (1.0, 3.5, 9.25, 40.0)
    audio = silence(42)
    for number, start_s in enumerate(starts_s):
        at = round(start_s * SAMPLE_RATE_HZ)
        audio[at : at + WORD_SAMPLES] = speak([number])
    segments = await all_of(transcription(audio, Faulty()))
    found = [word for segment in segments for word in segment.words]
    assert [word.text for word in found] == words(0, 1, 2, 3)
    assert [word.start_s for word in found] == pytest.approx(starts_s, abs=0.05)
    assert [word.end_s for word in found] == pytest.approx([at + 0.18 for at in starts_s], abs=0.05)


SPOKEN = st.lists(st.tuples(st.integers(0, 60_000), st.integers(1, 70)), max_size=6)
SIZES = st.lists(st.just(0) | st.integers(200, 40_000), min_size=1, max_size=5).filter(any)


@given(SPOKEN, SIZES, st.integers(0, 20_000))
async def test_no_word_lost_or_doubled(
    spoken: list[tuple[int, int]], sizes: list[int], tail_samples: int
) -> None:
    """Whatever the pauses, lengths of speech, chunks: each word once, in order, no sample untold."""
    pieces, count = [silence(0)], 0
    for pause_samples, amount in spoken:
        pieces += [np.zeros(pause_samples, np.float32), speak(range(count, count + amount))]
        count += amount
    audio = joined(*pieces, np.zeros(tail_samples, np.float32))
    work = transcription(sliced(audio, sizes), Faulty())
    assert texts(await all_of(work)) == words(*range(count))
    assert_balanced(work, len(audio))
    assert work.account.dropped_samples == 0 and work.lost == []


@settings(max_examples=25)
@given(SPOKEN.filter(bool), SIZES)
async def test_result_does_not_depend_on_chunks(spoken: list[tuple[int, int]], sizes: list[int]) -> None:
    """The same audio in other chunks gives the same segments and the same account."""
    audio = joined(
        *(piece for pause, amount in spoken for piece in (silence(pause / 16_000), speak(range(amount))))
    )
    whole = transcription(sliced(audio, (len(audio),)), Faulty())
    cut = transcription(sliced(audio, sizes), Faulty())
    assert await all_of(whole) == await all_of(cut)
    assert whole.account == cut.account


@settings(max_examples=20)
@given(st.integers(0, 90), SIZES)
async def test_without_voice_activity_everything_is_decoded(amount: int, sizes: list[int]) -> None:
    """With the stand-in for `--no-vad` all samples are speech, silence too, and words survive the cuts."""
    audio = joined(silence(1), speak(range(amount)), silence(1))
    work = transcription(sliced(audio, sizes), Faulty(), detector=Loudness())
    assert texts(await all_of(work)) == words(*range(amount))
    assert_balanced(work, len(audio))
    assert work.account.speech_samples == len(audio)


async def test_defaults_take_speech_without_pauses() -> None:
    """With the default options a minute of talk without any pause is transcribed whole."""
    assert texts(await all_of(transcription(speak([3] * 300), Faulty(), FileOptions()))) == ["w3"] * 300


async def test_silence_is_never_decoded() -> None:
    """An input without speech costs no decode, needs no model, and is all accounted as silence."""
    decoder = Decoder()
    work = transcription(silence(60), decoder)
    assert await all_of(work) == [] and not decoder.calls
    assert work.account.silence_samples == 60 * SAMPLE_RATE_HZ
    assert_balanced(work, 60 * SAMPLE_RATE_HZ)


class Deaf(LevelDetector):
    """Hears nothing from the second to the ninth second, or longer."""

    def __init__(self, until_s: float = 9.0) -> None:
        super().__init__()
        self._until_s = until_s
        self._frames = 0

    def probabilities(self, samples: Samples) -> Samples:
        heard = super().probabilities(samples)
        times_s = (self._frames + np.arange(len(heard))) * FRAME_SAMPLES / SAMPLE_RATE_HZ
        self._frames += len(heard)
        return np.where((times_s > 2) & (times_s < self._until_s), 0.0, heard).astype(np.float32)


class Unsure(Faulty):
    """Is as sure of what it hears as it is told to be."""

    def __init__(self, confidence: float) -> None:
        super().__init__()
        self._confidence = confidence

    async def decode(self, samples: Samples, options: DecodeOptions, ticket: Ticket) -> Hypothesis:
        heard = await super().decode(samples, options, ticket)
        unsure = (replace(segment, confidence=self._confidence) for segment in heard.segments)
        return replace(heard, segments=tuple(unsure))


@pytest.mark.parametrize(("confidence", "kept"), [(1.0, True), (0.3, False)])
async def test_loud_speech_that_is_not_detected(confidence: float, kept: bool) -> None:
    """It is decoded where it is as loud as speech, and taken where the decoder is sure; all in order."""
    audio = speak(range(70))
    detected = texts(await all_of(transcription(audio, Unsure(1.0), WINDOWS)))
    decoder = Unsure(confidence)
    work = transcription(audio, decoder, WINDOWS, Deaf())
    heard = texts(await all_of(work))
    missing = [word for word in detected if word not in heard]
    assert heard == [word for word in detected if word not in missing]
    assert len(missing) <= 3 if kept else len(missing) > 20
    assert (work.account.silence_samples < SAMPLE_RATE_HZ) == kept
    assert_balanced(work, len(audio))
    assert work.doubts == []  # seven seconds


async def test_one_unsure_segment_spoils_a_window_without_detected_speech() -> None:
    """Decoders that make up words of applause are sure of some of them."""

    class Half(Faulty):
        async def decode(self, samples: Samples, options: DecodeOptions, ticket: Ticket) -> Hypothesis:
            (heard,) = (await super().decode(samples, options, ticket)).segments
            return Hypothesis((replace(heard, confidence=0.3), replace(heard, confidence=0.9)), "en", 0.0)

    heard = texts(await all_of(transcription(speak(range(70)), Half(), WINDOWS, Deaf())))
    assert "w0" in heard and "w69" in heard and not {"w20", "w30", "w40"} & {*heard}


async def test_unsure_words_of_undetected_speech_are_told() -> None:
    """They are left out, and may be right."""
    audio = np.concatenate([speak(range(70)), speak([60] * 40)])
    work = transcription(audio, Unsure(0.3), WINDOWS, Deaf(until_s=20.0))
    await all_of(work)
    (line,) = work.doubts
    assert "left out words that are unsure" in line and "first at 2." in line


async def test_undetected_speech_that_cannot_be_decoded_is_declared() -> None:
    """Nobody knows that it was silence."""
    audio = speak(range(70))
    work = transcription(audio, Faulty(w30=DecodeError("no")), WINDOWS, Deaf())
    await all_of(work)
    assert work.account.dropped_samples > SAMPLE_RATE_HZ and len(work.lost) == 1
    assert_balanced(work, len(audio))


@pytest.mark.parametrize(("words", "told"), [(40, False), (80, True)])
async def test_speech_without_words_is_told(words: int, told: bool) -> None:
    """From ten seconds on; what is decoded to signs alone is no word, and is not shown."""

    class Musical(Faulty):
        async def decode(self, samples: Samples, options: DecodeOptions, ticket: Ticket) -> Hypothesis:
            return Hypothesis((Segment(0.0, 1.0, "♪ ♪", 0.9),), "en", 0.0)

    work = transcription(speak(range(words)), Musical(), WINDOWS)
    assert await all_of(work) == []
    assert work.doubts == (
        ["no words were recognised in 16.0 s that sound like speech, first at 0.0 s"] if told else []
    )


async def test_empty_input() -> None:
    """No samples at all: no segments, no language, an account of zeros."""
    work = transcription(silence(0), Faulty())
    assert await all_of(work) == []
    assert work.language == "" and work.providers == [] and work.done_samples == 0
    assert_balanced(work, 0)


async def test_progress() -> None:
    """`done_samples` grows with each window and ends at the last speech; the time of decodes is summed."""

    class Timed(Faulty):
        async def decode(self, samples: Samples, options: DecodeOptions, ticket: Ticket) -> Hypothesis:
            hypothesis = await super().decode(samples, options, ticket)
            return Hypothesis(hypothesis.segments, hypothesis.language, 0.5)

    audio = joined(*(piece for _ in range(3) for piece in (speak(range(20)), silence(40))))
    work, seen = transcription(audio, Timed()), []
    async with aclosing(work.segments()) as segments:
        async for _ in segments:
            seen.append(work.done_samples)
    assert seen == sorted(set(seen))
    assert 92 * SAMPLE_RATE_HZ <= work.done_samples <= 92 * SAMPLE_RATE_HZ + 8 * FRAME_SAMPLES
    assert work.inference_s == 1.5


async def test_speech_is_not_held_back_by_a_pause() -> None:
    """On an input that goes quiet, what was said comes out without waiting for more speech or the end."""
    said = asyncio.Event()

    async def goes_quiet() -> AsyncIterator[Samples]:
        yield speak(range(3))
        for _ in range(60):
            yield silence(1)
        async with asyncio.timeout(PATIENCE_S):
            await said.wait()

    async with aclosing(transcription(goes_quiet(), Faulty()).segments()) as segments:
        async for segment in segments:
            assert segment.text == "w0 w1 w2"
            said.set()
    assert said.is_set()


@pytest.mark.parametrize("talk_s", [1, 20, 0])
async def test_memory_is_bounded(talk_s: int) -> None:
    """However long the input and however rare its speech, at most two minutes of it are held."""
    block = joined(speak([1] * (5 * talk_s)), silence(30))
    held: list[int] = []

    async def long() -> AsyncIterator[Samples]:
        for number in range(40):
            async for chunk in sliced(block if number % 4 == 0 else silence(60), (16_000,)):
                yield chunk
            buffer = work._windowing._buffer
            held.append(buffer.end_sample - buffer.start_sample)

    work = transcription(long(), Faulty())
    assert len(texts(await all_of(work))) == 10 * 5 * talk_s
    assert max(held) <= 120 * SAMPLE_RATE_HZ
    assert_balanced(work, 10 * len(block) + 30 * 60 * SAMPLE_RATE_HZ)


async def test_a_slow_decoder_holds_the_reader_back() -> None:
    """Two windows are submitted before the first is done, then two for each worker, no more."""
    decoder, read = Decoder(width=2), list[int]()

    async def endless() -> AsyncIterator[Samples]:
        for number in range(10_000):
            read.append(number)
            yield joined(speak([number % 4096] * 10), silence(40))

    work = transcription(endless(), decoder)
    task = asyncio.create_task(all_of(work))
    for done, submitted in enumerate((2, 5, 6)):
        await until(lambda submitted=submitted: len(decoder.calls) == submitted)
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert len(decoder.calls) == submitted and len(read) < 12
        decoder.calls[done].answer()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# The language


class Bilingual(Faulty):
    """Words up to w19 are German, others French; decoded in the other language they come out in capitals."""

    async def decode(self, samples: Samples, options: DecodeOptions, ticket: Ticket) -> Hypothesis:
        heard = await super().decode(samples, options, ticket)
        looked_at = pieces(len(samples), options.utterances) if options.wants_evidence else ()
        evidence = tuple(
            self._evidence(samples[start:end])._replace(start_sample=start) for start, end in looked_at
        )
        language = LanguageBelief(options.language).after(evidence).language
        wrong = {self._spoken(segment.text.split()[0]) for segment in heard.segments} != {language}
        segments = tuple(
            replace(each, text=each.text.upper() if wrong else each.text) for each in heard.segments
        )
        return replace(heard, language=language, segments=segments, evidence=evidence)

    def _evidence(self, samples: Samples) -> LanguageEvidence:
        spoken = [self._spoken(word.text) for word in listen(samples)]
        share = spoken.count("de") / max(1, len(spoken))
        return LanguageEvidence(len(samples) / SAMPLE_RATE_HZ, (("de", share), ("fr", 1 - share)))

    def _spoken(self, word: str) -> str:
        return "de" if int(word[1:]) < 20 else "fr"


@pytest.mark.parametrize("language", ["auto", "de,fr", "fr,de,en"])
async def test_each_window_is_in_its_own_language(language: str) -> None:
    """A language that changes between windows is followed, there and back, and each segment says its own."""
    spoken = [range(15), range(20, 35), range(15), range(20, 35)]
    audio = joined(*(piece for numbers in spoken for piece in (speak(numbers), silence(40))))
    work = transcription(audio, Bilingual(), FileOptions(DecodeOptions(language=language)))
    segments = await all_of(work)
    assert texts(segments) == words(*(number for numbers in spoken for number in numbers))
    assert [segment.language for segment in segments] == ["de", "fr", "de", "fr"]
    assert work.language == "de"
    assert work.account.pending_samples == work.account.dropped_samples == 0


def in_one_window(language: str) -> FileOptions:
    return FileOptions(
        DecodeOptions(language=language),
        EndpointerOptions(overlong_s=16.0, max_utterance_s=16.0),
        PackingOptions(max_window_s=16, first_window_s=16),
    )


@pytest.mark.parametrize("language", ["auto", "de,fr"])
@pytest.mark.parametrize(
    ("french", "runs"),
    [((2, 3, 4), ["de", "fr"]), ((2,), ["de", "fr", "de"]), ((0, 4), ["fr", "de", "fr"]), ((), ["de"])],
)
async def test_a_language_that_changes_within_a_window(
    language: str, french: Sequence[int], runs: Sequence[str]
) -> None:
    """Each run of utterances in one language is decoded in it, also between two in another one."""
    parts = [range(20, 30) if at in french else range(10) for at in range(5)]
    audio = joined(*(piece for part in parts for piece in (speak(part), silence(1))))
    decoder = Bilingual()
    work = transcription(audio, decoder, in_one_window(language))
    segments = await all_of(work)
    assert texts(segments) == words(*(number for part in parts for number in part))
    assert [spoken for spoken, _ in groupby(segment.language for segment in segments)] == runs
    assert len(decoder.asked) == (1 if len(runs) == 1 else 1 + len(runs))
    assert work.account.pending_samples == work.account.dropped_samples == 0


async def test_an_utterance_of_which_nothing_is_heard_is_in_the_language_before() -> None:
    """One that is too short, or too quiet, to tell its language does not part its neighbours."""

    class Deaf(Bilingual):
        async def decode(self, samples: Samples, options: DecodeOptions, ticket: Ticket) -> Hypothesis:
            hypothesis = await super().decode(samples, options, ticket)
            return replace(hypothesis, evidence=hypothesis.evidence[1:4:2])

    parts = (range(10), range(10), range(10), range(20, 30), range(20, 30))
    audio = joined(*(piece for part in parts for piece in (speak(part), silence(1))))
    segments = await all_of(transcription(audio, Deaf(), in_one_window("auto")))
    assert [spoken for spoken, _ in groupby(segment.language for segment in segments)] == ["de", "fr"]
    assert texts(segments) == words(*(number for part in parts for number in part))


class Skipping(Faulty):
    """Leaves out all but the words of a window's first utterance, and stretches them over it."""

    async def decode(self, samples: Samples, options: DecodeOptions, ticket: Ticket) -> Hypothesis:
        hypothesis = await super().decode(samples, options, ticket)
        if len(samples) < 5 * SAMPLE_RATE_HZ:
            return hypothesis
        (whole,) = hypothesis.segments
        return replace(
            hypothesis,
            segments=(replace(whole, text=" ".join(whole.text.split()[:10]), words=whole.words[:10]),),
        )


@pytest.mark.parametrize("fails", [False, True])
async def test_utterances_that_a_decoder_leaves_out(fails: bool) -> None:
    """They are decoded by themselves; if that fails, what there is stays."""
    parts = [range(10 * at, 10 * at + 10) for at in range(5)]
    audio = joined(*(piece for part in parts for piece in (speak(part), silence(1))))
    decoder = Skipping()
    if fails:
        decoder.refuse_from = 1
    work = transcription(audio, decoder, in_one_window("en"))
    assert texts(await all_of(work)) == words(*range(10 if fails else 50))
    assert work.lost == [] and work.account.dropped_samples == 0


async def test_words_at_wrong_times_are_not_doubled() -> None:
    """A decoder that gives all words to the first second has left nothing out."""

    class Early(Faulty):
        async def decode(self, samples: Samples, options: DecodeOptions, ticket: Ticket) -> Hypothesis:
            hypothesis = await super().decode(samples, options, ticket)
            early = (replace(each, start_s=0.0, end_s=1.0, words=()) for each in hypothesis.segments)
            return replace(hypothesis, segments=tuple(early))

    parts = [range(10 * at, 10 * at + 10) for at in range(5)]
    audio = joined(*(piece for part in parts for piece in (speak(part), silence(1))))
    work = transcription(audio, Early(), in_one_window("en"))
    assert texts(await all_of(work)) == words(*range(50))


async def test_a_language_that_is_given_is_asked_about_at_first_only() -> None:
    """With one language the first windows tell whether it is that; it is kept whatever they say."""
    audio = joined(*(piece for _ in range(5) for piece in (speak(range(20)), silence(40))))
    decoder = Faulty()
    work = transcription(audio, decoder, FileOptions(DecodeOptions(language="fr")))
    assert len(texts(await all_of(work))) == 100
    asked = [(each.language, each.wants_evidence) for each in decoder.asked]
    assert asked == [("fr", True)] * 3 + [("fr", False)] * 2
    assert work.language == "fr"


async def test_a_decoder_that_only_names_a_language_is_asked_each_time() -> None:
    """Without probabilities nothing is known for later windows, also if the first one is lost."""
    audio = joined(speak([1]), silence(40), speak([2]), silence(40), speak([3]))
    decoder = Faulty(w1=DecodeError("no"))
    work = transcription(audio, decoder, FileOptions(DecodeOptions(language="auto")))
    assert texts(await all_of(work)) == words(2, 3)
    assert [options.language for options in decoder.asked] == ["auto"] * 3
    assert work.language == "de"


@pytest.mark.parametrize("asked", ["auto", "de,fr"])
async def test_what_was_asked_is_no_language_of_a_segment(asked: str) -> None:
    """Where a decoder does not say which of several it was."""

    class Silent(Faulty):
        async def decode(self, samples: Samples, options: DecodeOptions, ticket: Ticket) -> Hypothesis:
            return replace(await super().decode(samples, options, ticket), language=options.language)

    work = transcription(speak([1]), Silent(), FileOptions(DecodeOptions(language=asked)))
    assert [segment.language for segment in await all_of(work)] == [""]


async def test_the_language_is_the_first_windows() -> None:
    """Whatever another provider, which stands in for a later one, takes it for."""

    class Changing(Faulty):
        async def decode(self, samples: Samples, options: DecodeOptions, ticket: Ticket) -> Hypothesis:
            hypothesis = await super().decode(samples, options, ticket)
            return heard_in(samples, "de" if hypothesis.text == "w1" else "en")

    work = transcription(joined(speak([1]), silence(40), speak([2])), Changing())
    assert texts(await all_of(work)) == words(1, 2) and work.language == "de"


# Windows that fail


@pytest.mark.parametrize("error", [DecodeError("refused"), WorkerCrashed("gave up after 3 attempts")])
async def test_what_cannot_be_decoded_is_declared(error: Exception) -> None:
    """By name and to the sample; the rest is transcribed."""
    audio = joined(silence(1), *(speak(range(at, at + 20)) for at in range(0, 60, 20)), silence(2))
    options = FileOptions(
        endpointing=EndpointerOptions(max_utterance_s=4), packing=PackingOptions(max_window_s=4)
    )
    work = transcription(audio, Faulty(w25=error), options)
    heard = texts(await all_of(work))
    lost = [word for word in words(*range(60)) if word not in heard]
    assert "w25" in lost and len(lost) <= 4 * SAMPLE_RATE_HZ // WORD_SAMPLES
    assert heard == [word for word in words(*range(60)) if word not in lost]
    assert len(work.lost) == 1 and work.lost[0].endswith(f"s: {error}")
    assert 0 < work.account.dropped_samples <= 4 * SAMPLE_RATE_HZ
    assert_balanced(work, len(audio))


async def test_everything_refused() -> None:
    """An input whose every window is refused ends with all its speech declared dropped, and no error."""
    work = transcription(joined(speak([1]), silence(40), speak([1])), Faulty(w1=DecodeError("no")))
    assert await all_of(work) == [] and len(work.lost) == 2
    assert work.account.speech_samples == 0 and work.language == ""
    assert_balanced(work, 2 * WORD_SAMPLES + 40 * SAMPLE_RATE_HZ)


@pytest.mark.parametrize("error", [ModelError("no weights"), ProviderError("closed"), KeyError("a bug")])
async def test_what_is_not_about_one_window_ends_the_input(error: Exception) -> None:
    """With that error, once, although several windows failed with it; nothing is left behind."""
    audio = joined(*(piece for _ in range(8) for piece in (speak([1]), silence(40))))
    with pytest.raises(type(error)):
        await all_of(transcription(audio, Faulty(w1=error), WINDOWS))
    await assert_nothing_left()


async def test_a_decode_that_was_cancelled_by_others_is_an_error() -> None:
    """And no cancellation of whoever takes the segments."""
    decoder = Decoder()
    task = asyncio.create_task(all_of(transcription(joined(speak([1]), silence(40)), decoder)))
    await until(lambda: decoder.waiting)
    decoder.waiting[0].future.cancel()
    with pytest.raises(ProviderError, match="cancelled"):
        await task
    await assert_nothing_left()


async def test_a_decoder_that_is_closed_under_it() -> None:
    """Is an error, after what was decoded by then."""
    decoder, audio = Decoder(), joined(*(p for n in range(4) for p in (speak([n]), silence(40))))
    work, heard = transcription(audio, decoder, WINDOWS), list[Segment]()

    async def take() -> None:
        async with aclosing(work.segments()) as segments:
            async for segment in segments:
                heard.append(segment)

    task = asyncio.create_task(take())
    await until(lambda: decoder.waiting)
    decoder.waiting[0].answer()
    await until(lambda: heard)
    await decoder.close()
    with pytest.raises(ProviderError, match="closed"):
        await task
    assert texts(heard) == words(0)
    await assert_nothing_left()


# Inputs that fail, and callers that leave


async def test_segments_before_the_break_are_given() -> None:
    """All windows that were complete before the input broke are given before its error is."""

    async def breaks() -> AsyncIterator[Samples]:
        yield joined(speak(range(30)), silence(40))
        raise AudioError("the cable was pulled")

    heard = []
    with pytest.raises(AudioError, match="the cable was pulled"):
        async with aclosing(transcription(breaks(), Faulty()).segments()) as segments:
            async for segment in segments:
                heard.append(segment)
    assert texts(heard) == words(*range(30))
    await assert_nothing_left()


async def test_any_asynchronous_iterable_will_do() -> None:
    """Also one that cannot be closed."""

    class Two:
        def __init__(self) -> None:
            self._chunks = [speak([1]), speak([2])]

        def __aiter__(self) -> Two:
            return self

        async def __anext__(self) -> Samples:
            if not self._chunks:
                raise StopAsyncIteration
            return self._chunks.pop(0)

    assert texts(await all_of(transcription(Two(), Faulty()))) == words(1, 2)  # type: ignore[arg-type]


async def test_a_bug_while_reading_surfaces() -> None:
    """Even an error nobody foresaw reaches the caller: it must not wait for ever."""

    class Broken(LevelDetector):
        def probabilities(self, samples: Samples) -> Samples:
            raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        await all_of(transcription(speak([1]), Faulty(), detector=Broken()))
    await assert_nothing_left()


class Endless:
    """A blocking source that gives speech for ever, and says when it was closed."""

    def __init__(self) -> None:
        self.read = 0
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[Samples]:
        while True:
            self.read += 1
            yield joined(speak([self.read % 4096] * 10), silence(40))

    def close(self) -> None:
        self.closed.set()


@pytest.mark.parametrize("how", ["leaves", "cancelled", "cancelled at once"])
async def test_stopping_early_leaves_nothing(how: str) -> None:
    """No task, no decode and no reading; the account adds up, with what was not decoded pending."""
    source, decoder = Endless(), Decoder()
    work = FileTranscription(Reader(source), decoder, LevelDetector(), WORD_TIMES)  # type: ignore[arg-type]
    heard: list[Segment] = []

    async def take() -> None:
        async with aclosing(work.segments()) as segments:
            async for segment in segments:
                heard.append(segment)
                if how == "leaves":
                    return

    task = asyncio.create_task(take())
    if how == "cancelled at once":
        await asyncio.sleep(0)
        task.cancel()
    else:
        await until(lambda: decoder.waiting)
        decoder.waiting[0].answer()
        await until(lambda: heard)
        if how == "cancelled":
            task.cancel()
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled() is (how != "leaves")
    assert all(call.aborted for call in decoder.calls[1:]) and source.read < 20
    account = work.account
    assert account.pending_samples >= 0 and account.dropped_samples == 0
    assert bool(account.speech_samples) is bool(heard)
    assert source.closed.is_set()
    await assert_nothing_left()


async def test_nothing_is_read_before_it_is_asked_for() -> None:
    """Making a transcription touches neither the input nor the decoder."""

    async def untouched() -> AsyncIterator[Samples]:
        pytest.fail("read too early")
        yield silence(1)

    decoder = Decoder()
    transcription(untouched(), decoder)
    await asyncio.sleep(0)
    assert not decoder.calls and not others()


def test_utterances_must_fit_windows() -> None:
    """Options that would let an utterance outgrow a window are refused at once, not halfway through."""
    with pytest.raises(UsageError, match="max_utterance_s"):
        FileOptions(
            endpointing=EndpointerOptions(max_utterance_s=13), packing=PackingOptions(max_window_s=12)
        )


# Providers that stand in

AUDIO = joined(*(piece for at in range(4) for piece in (speak(range(10 * at, 10 * at + 10)), silence(11))))


def relayed(*decoders: object) -> Fallback:
    members: list[Recognizer] = []
    for at, decoder in enumerate(decoders):
        deferred = isinstance(decoder, DeferredRecognizer)
        members.append(decoder if deferred else windowed(decoder, f"p{at}"))  # type: ignore[arg-type]
    return Fallback(members)


async def test_a_window_that_one_provider_cannot_decode_goes_to_the_next() -> None:
    """That one only; all words come once and in order, nothing is dropped, and both are named."""
    fallback = relayed(Faulty(w15=WorkerCrashed("gave up after 3 attempts")), Faulty())
    assert fallback.windows is not None
    work = transcription(AUDIO, fallback.windows, WINDOWS)
    assert texts(await all_of(work)) == words(*range(40))
    assert work.providers == ["p0", "p1"] and not work.lost
    assert_balanced(work, len(AUDIO))
    assert fallback.failures == {"p0": "gave up after 3 attempts"}


async def test_a_provider_that_does_not_load() -> None:
    """The next does all of it, and is named alone."""
    dead = Faulty(**{word: ModelError("no such thing") for word in words(*range(40))})
    fallback = relayed(dead, Faulty())
    assert fallback.windows is not None
    work = transcription(AUDIO, fallback.windows, WINDOWS)
    assert texts(await all_of(work)) == words(*range(40))
    assert work.providers == ["p1"] and work.account.dropped_samples == 0


@pytest.mark.parametrize("error", [ModelError("gone"), UsageError("gone"), KeyError("gone")])
async def test_a_reserve_that_cannot_be_made_does_not_end_the_file(error: Exception) -> None:
    """The window that needed it is dropped, since its own provider goes on with the others."""

    async def make() -> tuple[Recognizer, str]:
        raise error

    reserve = DeferredRecognizer("p1", make, windowed=True)
    fallback = relayed(Faulty(w15=DecodeError("refused")), reserve)
    assert fallback.windows is not None
    work = transcription(AUDIO, fallback.windows, WINDOWS)
    assert texts(await all_of(work)) == words(*range(10), *range(20, 40))
    assert "refused" in work.lost[0] and "gone" in work.lost[0]
    assert_balanced(work, len(AUDIO))


async def test_everybody_is_dead() -> None:
    """The file fails, with the reasons of all."""
    names = words(*range(40))
    dead = [Faulty(**{name: ModelError(reason) for name in names}) for reason in ("first", "second")]
    fallback = relayed(*dead)
    assert fallback.windows is not None
    with pytest.raises(ModelError, match=r"p0: first; p1: second"):
        await all_of(transcription(AUDIO, fallback.windows, WINDOWS))
    await assert_nothing_left()


# Real workers


@pytest.mark.parametrize("fault", ["crash_on", "hang_on"])
async def test_lost_workers_lose_no_words(script: Script, pool_of: PoolOf, fault: str) -> None:
    """A worker that dies or hangs on a window is replaced, and the window is decoded by the next."""
    pool = pool_of(script(**{fault: ["w7"]}, crashes=1), job_deadline_s=3.0, deadline_factor=0.0)
    work = transcription(speak(range(40)), pool)
    assert texts(await all_of(work)) == words(*range(40))
    assert work.lost == [] and pool.restarts == 1


async def test_a_window_that_kills_every_worker(script: Script, pool_of: PoolOf) -> None:
    """Is declared dropped, and the input goes on behind it."""
    audio = joined(speak([7]), silence(40), speak([8]))
    work = transcription(audio, pool_of(script(crash_on=["w7"]), attempts=2))
    assert texts(await all_of(work)) == words(8)
    assert "gave up after 2 attempts" in work.lost[0] and work.account.dropped_samples > 0
    assert_balanced(work, len(audio))


async def test_weights_that_do_not_load(script: Script, pool_of: PoolOf) -> None:
    """Speech without a model is the model's error, not a dropped window."""
    with pytest.raises(ModelError, match="no weights"):
        await all_of(transcription(speak([1]), pool_of(script(fail_load="no weights"))))


async def test_leaving_early_frees_the_worker(script: Script, pool_of: PoolOf) -> None:
    """The decode that held it is aborted; the worker takes the next job and is not restarted."""
    pool = pool_of(script(hang_on=["w5"]), workers=1)
    audio = joined(*(piece for number in (0, 5, 5, 5) for piece in (speak([number] * 10), silence(40))))
    async with aclosing(transcription(audio, pool, WINDOWS).segments()) as segments:
        assert (await anext(segments)).text.startswith("w0")
    async with asyncio.timeout(PATIENCE_S):
        assert (await pool.decode(speak([9]), DecodeOptions())).text == "w9"
    assert pool.restarts == 0
