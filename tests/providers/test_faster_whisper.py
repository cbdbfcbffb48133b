"""faster-whisper on the same weights, where it is installed."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from asrctl.audio.sample import SAMPLE_TEXT, SENTENCES, sample_speech
from asrctl.errors import ModelError
from asrctl.models.store import ModelStore
from asrctl.policy.window import Effort, second_token_budget, token_budget
from asrctl.providers import fitted
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.providers.faster_whisper import FasterWhisper
from asrctl.providers.registry import is_installed
from asrctl.providers.whisper import FasterWhisperSettings
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Samples
from asrctl.workers.options import PoolOptions
from asrctl.workers.pool import WorkerPool
from tests.workers.blocking import BlockingPool

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not is_installed("faster_whisper"), reason="faster-whisper is not installed"),
]

GREEDY = DecodeOptions()
PATIENCE_S = 120


@pytest.fixture(scope="module")
def pool(store: ModelStore) -> Iterator[BlockingPool]:
    """One worker with the CTranslate2 weights of tiny.en."""
    spec = ModelSpec("faster_whisper", store.ct2_directory("tiny.en"), use_gpu=False)
    with BlockingPool(spec, PoolOptions(attempts=1)) as pool:
        pool.wait_ready()
        yield pool


def keys(text: str) -> list[str]:
    return [word.strip(".,!?").casefold() for word in text.split()]


@pytest.mark.parametrize("beam_size", [1, 5])
def test_words(pool: BlockingPool, beam_size: int) -> None:
    """The sample's sentence is understood word for word, and no word times are made unasked."""
    hypothesis = pool.decode(sample_speech(), replace(GREEDY, beam_size=beam_size))
    assert keys(hypothesis.text) == keys(SAMPLE_TEXT)
    assert hypothesis.language == "en"
    assert hypothesis.inference_s > 0
    assert all(0 <= segment.confidence <= 1 for segment in hypothesis.segments)
    assert all(segment.words == () for segment in hypothesis.segments)


def test_word_times(pool: BlockingPool) -> None:
    """Words cover the text, in order."""
    hypothesis = pool.decode(sample_speech(), replace(GREEDY, word_timestamps=True))
    words = [word for segment in hypothesis.segments for word in segment.words]
    assert [word.text for word in words] == hypothesis.text.split()
    starts = [word.start_s for word in words]
    assert starts == sorted(starts)
    assert all(word.start_s <= word.end_s <= 3.1 and 0 <= word.confidence <= 1 for word in words)


def test_english_models_decode_english(pool: BlockingPool) -> None:
    """A model that knows only English decodes English, whatever was asked for."""
    options = replace(GREEDY, language="auto", translate=True, prompt="A call.")
    assert keys(pool.decode(sample_speech(), options).text) == keys(SAMPLE_TEXT)


def test_evidence_of_the_language(store: ModelStore) -> None:
    """A multilingual model tells what it heard of each utterance, of a long one at both ends, and takes one
    of the languages named."""
    spec = ModelSpec("faster_whisper", store.ct2_directory("base"), use_gpu=False)
    with BlockingPool(spec, PoolOptions(attempts=1)) as pool:
        english = pool.decode(sample_speech(), replace(GREEDY, language="auto"))
        assert english.language == english.evidence[0].probabilities[0][0] == "en"
        assert keys(english.text)[0] == "please"
        assert pool.decode(sample_speech(), replace(GREEDY, language="de,fr")).language in ("de", "fr")
        long = pool.decode(np.tile(sample_speech(), 3), replace(GREEDY, language="en", tell_language=True))
        assert [each.probabilities[0][0] for each in long.evidence] == ["en", "en"]
        options = replace(GREEDY, language="auto", utterances=((0, 100), (100, 30_000), (31_000, 60_000)))
        parts = pool.decode(np.tile(sample_speech(), 3)[:60_000], options).evidence
        assert [each.start_sample for each in parts] == [100, 31_000]
        assert pool.decode(sample_speech()[:100].copy(), replace(GREEDY, language="auto")).evidence == ()


@pytest.mark.parametrize("length", [0, 1, 800, 8000])
def test_short_windows(pool: BlockingPool, length: int) -> None:
    """Next to nothing is no reason to fail, nor to make up a word."""
    text = pool.decode(sample_speech()[3000:][:length].copy(), GREEDY).text
    assert pool.restarts == 0
    assert length > 800 or text == ""


def test_words_that_are_written_with_a_point_are_one() -> None:
    """The library parts "28.8" and "inter-office"; a language without spaces has words all the same."""
    from asrctl.providers.faster_whisper import _segment

    def said(*pieces: str) -> SimpleNamespace:
        words = [
            SimpleNamespace(word=each, start=float(at), end=at + 1.0, probability=0.5)
            for at, each in enumerate(pieces)
        ]
        return SimpleNamespace(words=words, start=0.0, end=9.0, text="".join(pieces), avg_logprob=-0.1)

    english = _segment(said(" at", " 28", ".8", " kbit,", " inter", "-office."), "en")
    assert [word.text for word in english.words] == english.text.split()
    assert [(word.start_s, word.end_s) for word in english.words] == [(0, 1), (1, 3), (3, 4), (4, 6)]
    assert [word.text for word in _segment(said("你", "好"), "zh").words] == ["你", "好"]


def test_silence(pool: BlockingPool) -> None:
    """Digital silence has no words."""
    assert pool.decode(np.zeros(80_000, np.float32), GREEDY).text == ""


@pytest.mark.parametrize("content", [None, b"no weights"])
def test_bad_weights(tmp_path: Path, content: bytes | None) -> None:
    """A directory without a model in it is an error with its name."""
    if content is not None:
        (tmp_path / "model.bin").write_bytes(content)
    with (
        BlockingPool(ModelSpec("faster_whisper", tmp_path, use_gpu=False), PoolOptions(attempts=1)) as pool,
        pytest.raises(ModelError, match="faster-whisper cannot load it"),
    ):
        pool.wait_ready()


def test_the_same_text_each_time(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is unsure, and decoded again: nothing is sampled."""
    monkeypatch.setattr(fitted, "is_unsure", lambda *_: True)
    model = FasterWhisper(ModelSpec("faster_whisper", store.ct2_directory("tiny.en")))
    noise = np.random.default_rng(0).normal(0, 0.15, len(sample_speech())).astype(np.float32)
    heard = [model.transcribe(sample_speech() + noise, GREEDY, bool) for _ in range(3)]
    assert "again" in heard[0].parts_s
    assert len({each.text for each in heard}) == 1


class Counting:
    """CTranslate2's model, watched: the most tokens, and the rows, of each call."""

    def __init__(self, model: FasterWhisper) -> None:
        self.asked: list[int] = []
        self.rows: list[int] = []
        self._native = model._model._native
        model._model._native = self

    def __getattr__(self, name: str) -> object:
        return getattr(self._native, name)

    def generate(self, encoded: object, prompts: list[list[int]], max_length: int, **more: object) -> object:
        self.asked.append(max_length)
        self.rows.append(len(prompts))
        return self._native.generate(encoded, prompts, max_length=max_length, **more)


def test_no_more_is_decoded_than_can_be_said(store: ModelStore) -> None:
    """The first decode has the window's budget of tokens, that of a loop twice as many; neither samples."""
    model = FasterWhisper(ModelSpec("faster_whisper", store.ct2_directory("tiny.en")))
    counting = Counting(model)
    assert keys(model.transcribe(sample_speech(), GREEDY, bool).text) == keys(SAMPLE_TEXT)
    length_s = len(sample_speech()) / SAMPLE_RATE_HZ
    model.transcribe(sample_speech(), replace(GREEDY, effort=Effort.AGAIN), bool)
    budgets = token_budget(length_s), second_token_budget(length_s)
    assert counting.asked == [2 * budget for budget in budgets]  # of which CTranslate2 takes half


def test_as_much_is_decoded_as_can_be_said(store: ModelStore) -> None:
    """A text may take all of its budget: neither half of it, nor more behind a long prompt."""
    model = FasterWhisper(ModelSpec("faster_whisper", store.ct2_directory("tiny.en")))
    for prompt in ("", "The conference begins on Monday. " * 12):
        whole, tokens = model.decode(sample_speech(), replace(GREEDY, prompt=prompt), 512, 40)
        assert keys(whole.text) == keys(SAMPLE_TEXT) and 8 < tokens < 40
        cut, at_most = model.decode(sample_speech(), replace(GREEDY, prompt=prompt), 512, 8)
        assert at_most == 8 and len(cut.text) < len(whole.text)


def test_windows_decoded_together_have_their_own_words(store: ModelStore) -> None:
    """The same segments, times and confidences as by themselves, of whatever length; in fewer calls."""
    spec = ModelSpec("faster_whisper", store.ct2_directory("tiny.en"), use_gpu=False, together=4)
    model = FasterWhisper(spec)
    loop = np.tile(sample_speech()[20_360:27_346], 60)[: 4 * SAMPLE_RATE_HZ]
    spoken = [
        np.concatenate([sample_speech(sentence)] * times) for sentence in [*SENTENCES][:3] for times in (1, 2)
    ]
    spoken.insert(2, loop)  # takes all the tokens that it may
    options = [replace(GREEDY, beam_size=beams) for beams in (1, 1, 2)]
    jobs = [(samples, each) for each in options for samples in spoken]
    alone = [model.transcribe(*job, bool) for job in jobs]
    counting = Counting(model)
    twins = [model.twin() for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        places = queue.SimpleQueue[FasterWhisper]()
        for twin in twins:
            twin._model._native = counting
            places.put(twin)

        def decode(samples: Samples, how: DecodeOptions) -> Hypothesis:
            twin = places.get()
            try:
                return twin.transcribe(samples, how, bool)
            finally:
                places.put(twin)

        together = [*threads.map(decode, *zip(*jobs, strict=True))]
    assert [each.segments for each in together] == [each.segments for each in alone]
    assert max(counting.rows) > 1 and len(counting.rows) < sum(counting.rows)
    assert sum(each.inference_s for each in together) < 4 * sum(each.inference_s for each in alone)


def test_most_tokens_are_each_windows_own(store: ModelStore) -> None:
    """Beside one that may take more, a text ends where it does by itself."""
    model = FasterWhisper(ModelSpec("faster_whisper", store.ct2_directory("tiny.en"), use_gpu=False))._model
    model.positions = 512
    encoded = model.encode(model.feature_extractor(sample_speech(), padding=480_000)[:, :1024])

    def tokens(*most: int) -> list[list[int]]:
        found = model._generate([[50257]], {"beam_size": 1}, [(encoded, each) for each in most])
        return [row.sequences_ids[0] for [row] in found]

    [short], [whole] = tokens(6), tokens(40)
    assert short == whole[:6] != whole
    assert tokens(6, 40, 6) == [short, whole, short]


def test_several_windows_at_a_time(store: ModelStore) -> None:
    """On the same weights, each as by itself, whatever its length and options."""
    spec = ModelSpec("faster_whisper", store.ct2_directory("tiny.en"), threads=2, use_gpu=False, parallel=2)
    once = sample_speech()
    later = np.concatenate([np.zeros(2 * SAMPLE_RATE_HZ, np.float32), once])
    words = replace(GREEDY, word_timestamps=True, beam_size=2)
    jobs = [(once, GREEDY), (later, words), (np.zeros(16_000, np.float32), GREEDY), (later, GREEDY)] * 3

    async def both() -> tuple[list[Hypothesis], list[Hypothesis]]:
        async with WorkerPool(spec, PoolOptions(attempts=1)) as pool:
            alone = [await pool.decode(*job) for job in jobs]
            return alone, await asyncio.gather(*(pool.decode(*job) for job in jobs))

    alone, together = asyncio.run(both())
    assert [each.segments for each in together] == [each.segments for each in alone]
    assert keys(together[1].text) == keys(SAMPLE_TEXT)


@pytest.mark.parametrize(("settings", "threads", "at_a_time"), [(0, 1, 1), (0, 2, 2), (0, 8, 2), (6, 4, 4)])
def test_how_many_windows_at_a_time(settings: int, threads: int, at_a_time: int) -> None:
    """What is set, or else two, and no more than the worker has threads."""
    assert FasterWhisperSettings(settings).parallel_on(threads) == at_a_time
