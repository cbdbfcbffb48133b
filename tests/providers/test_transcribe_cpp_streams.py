"""transcribe.cpp's streams through the real library, with a model of small random weights.

Its text is gibberish, so that what is compared is what the library gives alone for the same chunks.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from asrctl.assembly import prepare
from asrctl.audio.sample import sample_speech
from asrctl.errors import DecodeError, ModelError, ProviderError
from asrctl.models.store import ModelStore
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.providers.plugin import Serving, is_installed
from asrctl.settings import Settings
from asrctl.workers.listener import ListenerOptions
from asrctl.workers.listeners import Listeners

from .ears import Ear, Stream, in_loop, request, until
from .small_gguf import write_model

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not is_installed("transcribe_cpp"), reason="transcribe-cpp is not installed"),
]

CHUNK = 8000
MANY_FEEDS = 600
WARM_FEEDS = 200
GROWTH_BYTES = 6 << 20


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's file."""
    return write_model(tmp_path_factory.mktemp("stream") / "small.gguf")


@contextmanager
def listening(model: Path, **options: int) -> Iterator[Any]:
    """A model that listens, in this process."""
    from asrctl.providers.transcribe_cpp.streams import ListeningTranscribeCpp

    spec = ModelSpec("transcribe_cpp", model, use_gpu=False, options=tuple(options.items()))
    loaded = ListeningTranscribeCpp(spec)
    try:
        yield loaded
    finally:
        loaded.close()


def alone(model: Path, samples: NDArray[np.float32]) -> tuple[list[str], str]:
    """What the library gives without us: the committed texts of each feed, and the final."""
    import transcribe_cpp

    transcribe_cpp.set_log_callback(None)
    with transcribe_cpp.Model(model, backend="cpu") as loaded, loaded.session(n_threads=1) as session:
        stream, committed = session.stream(language="en"), []
        for at in range(0, len(samples), CHUNK):
            stream.feed(samples[at : at + CHUNK])
            committed.append(stream.text().committed)
        stream.finalize()
        return committed, stream.text().display.strip()


def recogniser(model: Path, streams: int = 10, per_worker: int = 5) -> Listeners:
    spec = ModelSpec("transcribe_cpp", model, use_gpu=False)
    return Listeners(spec, "small", ListenerOptions(Serving(streams, per_worker)))


def test_the_librarys_words(model: Path) -> None:
    """Feed by feed what it has committed, and at the end its text; one utterance leaves the next alone."""
    committed, final = alone(model, sample_speech())
    assert committed[-1] and final.startswith(committed[-1].strip())
    with listening(model) as loaded:
        for _ in range(2):
            loaded.begin(DecodeOptions())
            speech = sample_speech()
            said = [loaded.feed(speech[at : at + CHUNK])[0] for at in range(0, len(speech), CHUNK)]
            assert said == committed
            hypothesis = loaded.finish()
            assert hypothesis.text == final and hypothesis.language == "en" and hypothesis.inference_s > 0
            (segment,) = hypothesis.segments
            assert [word.text for word in segment.words] == final.split()
            assert 0 <= segment.start_s <= segment.end_s <= len(speech) / 16_000


def test_a_model_has_one_stream(model: Path) -> None:
    """The library says so to a second one, which is why each stream has a model of its own."""
    import transcribe_cpp

    with listening(model) as loaded:
        loaded.begin(DecodeOptions())
        with pytest.raises(transcribe_cpp.Busy):
            loaded.model.session().stream()


@pytest.mark.parametrize("length", [1, 79, 1600])
def test_hardly_any_audio(model: Path, length: int) -> None:
    """An utterance of a fraction of a second ends, and so does one of samples that are no numbers."""
    with listening(model) as loaded:
        for samples in (np.full(length, 0.1, np.float32), np.full(length, np.nan, np.float32)):
            loaded.begin(DecodeOptions(language="auto", prompt="A call."))
            loaded.feed(samples)
            assert loaded.finish().language == "en"


def test_cancel(model: Path) -> None:
    """What is fed after it fails, and the next utterance is whole."""
    _, final = alone(model, sample_speech())
    with listening(model) as loaded:
        loaded.begin(DecodeOptions())
        loaded.cancel()
        with pytest.raises(DecodeError, match=r"transcribe\.cpp failed"):
            loaded.feed(sample_speech())
        loaded.begin(DecodeOptions())
        for at in range(0, len(sample_speech()), CHUNK):
            loaded.feed(sample_speech()[at : at + CHUNK])
        assert loaded.finish().text == final


def test_settings_reach_the_library(model: Path) -> None:
    """A model that decodes less often commits later; what a family does not know is left out."""
    speech = sample_speech()
    with listening(model, lookahead_ms=480, decode_interval_ms=10_000) as loaded:
        loaded.begin(DecodeOptions())
        said = [loaded.feed(speech[at : at + CHUNK])[0] for at in range(0, len(speech), CHUNK)]
        assert not any(said) and any(alone(model, speech)[0])
        assert loaded.finish().text


def test_models_that_do_not_stream(tiny_en: Path) -> None:
    """Are refused with the reason."""
    with pytest.raises(ModelError, match="listens to no stream"), listening(tiny_en):
        pass


@in_loop
async def test_ten_streams_at_once(model: Path) -> None:
    """In two processes, each with its own text, which is the library's; an eleventh is refused."""
    _, final = alone(model, sample_speech())
    recognizer = recogniser(model)
    streams = list[Stream]()
    while len(streams) < 10:
        await until(lambda: any(each.process and each.process.has_room for each in recognizer._keepers))
        streams.append(Stream(recognizer))
    assert len(recognizer.pids()) == 2
    with pytest.raises(ProviderError, match="10 streams already"):
        recognizer.open(request(), Ear())
    for at in range(0, len(sample_speech()), CHUNK):
        for stream in streams:
            stream.feed(sample_speech()[at : at + CHUNK], CHUNK)
        await until(lambda: not any(each.stream.waiting_samples for each in streams))
    for stream in streams:
        stream.end()
    for stream in streams:
        assert await stream.ear.wait_completed(1) == [final]
        stable = [heard.stable for heard in stream.ear.heard(0)]
        assert stable[-1] and all(later[: len(one)] == one for one, later in pairwise(stable))
        stream.close()
    await recognizer.close()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are killed in another way")
@in_loop
async def test_a_killed_process(model: Path) -> None:
    """Its streams are lost, with what they were hearing; the next process hears the same."""
    _, final = alone(model, sample_speech())
    recognizer = recogniser(model, 2, 2)
    for kill in (True, False):
        await recognizer.wait_ready()
        streams = [Stream(recognizer) for _ in range(2)]
        for stream in streams:
            stream.feed(sample_speech()[:CHUNK])
        await asyncio.gather(*(stream.ear.wait(lambda ear=stream.ear: ear.heard(0)) for stream in streams))
        if kill:
            os.kill(recognizer.pids()[0], signal.SIGKILL)
        for stream in streams:
            stream.feed(sample_speech()[CHUNK:], len(sample_speech()))
            stream.end()
            await stream.ear.over_or_lost(1)
            assert (stream.ear.lost is not None) == kill
            assert kill or len(stream.ear.texts[0].split()) == len(final.split())
            stream.close()
    assert recognizer.restarts == 1
    await recognizer.close()


def test_memory_stays(model: Path) -> None:
    """Utterance after utterance, a process does not grow."""
    process = psutil.Process()
    with listening(model) as loaded:
        before_bytes = 0
        for feed in range(WARM_FEEDS + MANY_FEEDS):
            if feed % 20 == 0:
                loaded.begin(DecodeOptions())
            loaded.feed(sample_speech()[:1600])
            if feed % 20 == 19:
                loaded.finish()
            if feed == WARM_FEEDS:
                before_bytes = process.memory_info().rss
    assert process.memory_info().rss - before_bytes < GROWTH_BYTES


def test_what_a_plan_is(model: Path, store: ModelStore) -> None:
    """A model whose header says that it streams is listened with, unless that is not wanted."""
    from asrctl.providers.transcribe_cpp.settings import TranscribeCppSettings

    settings = Settings(provider="transcribe_cpp", model=str(model), models_dir=store.root)
    plan = prepare(settings)
    assert plan.serving == Serving() and not plan.is_pooled and not plan.is_windowed
    assert plan.spec.threads == 1
    chosen = TranscribeCppSettings(model=str(model), streaming=False, lookahead_ms=80)
    plan = prepare(settings.overridden(model="tiny.en-q8_0", provider_settings={"transcribe_cpp": chosen}))
    assert (plan.model, plan.serving, plan.is_pooled) == ("small.gguf", None, True)
    assert ("lookahead_ms", 80) in plan.spec.options
