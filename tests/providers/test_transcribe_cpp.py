"""transcribe.cpp with real weights of whisper.cpp: the library's words, aborts, faults."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from asrctl.assembly import prepare
from asrctl.audio.sample import SAMPLE_TEXT, sample_speech
from asrctl.errors import DecodeError, ModelError, UsageError
from asrctl.models.store import ModelStore
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.providers.transcribe_cpp.settings import TranscribeCppSettings
from asrctl.settings import Settings
from asrctl.workers.options import PoolOptions
from tests.workers.blocking import BlockingPool

from .small_gguf import write_model

transcribe_cpp = pytest.importorskip("transcribe_cpp")
pytestmark = pytest.mark.integration

GREEDY = DecodeOptions()
ALONE = """
import sys
import numpy as np
import transcribe_cpp
with transcribe_cpp.Model(sys.argv[1], backend="cpu") as model, model.session(n_threads=1) as session:
    print(session.run(np.fromfile(sys.argv[2], np.float32), language="en").text)
"""
"""The library without us."""


@pytest.fixture(scope="module")
def pool(tiny_en: Path) -> Iterator[BlockingPool]:
    """One worker with tiny.en."""
    with BlockingPool(ModelSpec("transcribe_cpp", tiny_en, use_gpu=False), PoolOptions(attempts=1)) as pool:
        pool.wait_ready()
        yield pool


def keys(text: str) -> list[str]:
    return [word.strip(".,!?").casefold() for word in text.split()]


def test_words_are_the_librarys(pool: BlockingPool, tiny_en: Path, tmp_path: Path) -> None:
    """Word for word what the library gives alone, which is the sample's sentence; with times of words."""
    samples = np.concatenate((sample_speech(), np.zeros(8000, np.float32)))
    samples.tofile(tmp_path / "speech.f32")
    command = [sys.executable, "-c", ALONE, str(tiny_en), str(tmp_path / "speech.f32")]
    alone = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100).stdout.strip()
    hypothesis = pool.decode(samples, replace(GREEDY, word_timestamps=True))
    assert hypothesis.text == alone
    assert keys(alone) == keys(SAMPLE_TEXT)
    assert hypothesis.language == "en" and hypothesis.inference_s > 0
    words = [word for segment in hypothesis.segments for word in segment.words]
    assert [word.text for word in words] == alone.split()
    times = [time_s for word in words for time_s in (word.start_s, word.end_s)]
    assert times == sorted(times) and times[0] >= 0 and times[-1] <= len(samples) / 16_000
    assert all(0 <= word.confidence <= 1 for word in words)


def test_english_models_decode_english(pool: BlockingPool) -> None:
    """Whatever was asked for; and no times of words are made unasked."""
    hypothesis = pool.decode(
        sample_speech(), replace(GREEDY, language="auto", translate=True, prompt="A call.")
    )
    assert keys(hypothesis.text) == keys(SAMPLE_TEXT)
    assert hypothesis.language == "en"
    assert all(segment.words == () for segment in hypothesis.segments)


@pytest.mark.parametrize("length", [0, 1, 799, 80_000])
def test_what_holds_no_word(pool: BlockingPool, length: int) -> None:
    """Next to nothing, and silence, have no words, and cost nothing."""
    hypothesis = pool.decode(np.zeros(length, np.float32), GREEDY)
    assert hypothesis.text == "" and hypothesis.inference_s == 0


def test_samples_that_are_no_numbers(pool: BlockingPool) -> None:
    """The library refuses them; here they are silence."""
    samples = sample_speech()
    samples[:100], samples[100:200] = np.nan, np.inf
    assert pool.decode(samples, GREEDY).text
    assert pool.restarts == 0


def test_abort(tiny_en: Path) -> None:
    """A decode that nobody waits for stops at the library's next step, and the worker goes on."""
    from asrctl.providers.base import Aborted
    from asrctl.providers.transcribe_cpp.windows import TranscribeCpp

    with closing(TranscribeCpp(ModelSpec("transcribe_cpp", tiny_en, use_gpu=False))) as model:
        with pytest.raises(Aborted):
            model.transcribe(np.tile(sample_speech(), 9), GREEDY, lambda: True)
        assert keys(model.transcribe(sample_speech(), GREEDY, lambda: False).text) == keys(SAMPLE_TEXT)


@pytest.mark.parametrize(
    ("abilities", "told"),
    [
        ({"vocabulary", "context_prompt"}, {"vocabulary": ["Ada"], "prompt": "A call."}),
        ({"context_prompt"}, {"vocabulary": None, "prompt": "A call. Ada"}),
        (set(), {"vocabulary": None, "prompt": None}),
    ],
)
def test_terms_as_the_model_takes_them(
    tiny_en: Path, monkeypatch: pytest.MonkeyPatch, abilities: set[str], told: dict[str, object]
) -> None:
    """As such, in the prompt, or not at all; where not, the description says so."""
    from asrctl.providers.transcribe_cpp.library import Library

    library = Library(ModelSpec("transcribe_cpp", tiny_en, use_gpu=False))
    monkeypatch.setattr(type(library.model), "supports", lambda model, feature: feature in abilities)
    arguments = library.arguments(replace(GREEDY, prompt="A call.", vocabulary=("Ada",)))
    assert {key: arguments[key] for key in told} == told
    assert ("no vocabulary" in library.description()) == (not abilities)
    library.close()


def test_a_term_is_heard(pool: BlockingPool) -> None:
    """The library takes a vocabulary with whisper.cpp's own weights."""
    hypothesis = pool.decode(sample_speech(), replace(GREEDY, vocabulary=("Monday", "Ada Lovelace")))
    assert keys(hypothesis.text) == keys(SAMPLE_TEXT)


def test_a_text_that_does_not_end(tmp_path: Path) -> None:
    """What the library gives up as incomplete is passed on, as doubtful; the text has times all the same."""
    model = write_model(tmp_path / "small.gguf")
    with BlockingPool(ModelSpec("transcribe_cpp", model, use_gpu=False), PoolOptions(attempts=1)) as pool:
        hypothesis = pool.decode(sample_speech(), replace(GREEDY, word_timestamps=True))
    (segment,) = hypothesis.segments
    assert segment.confidence == 0.5 and segment.start_s == 0
    assert segment.end_s == pytest.approx(len(sample_speech()) / 16_000)
    assert [word.text for word in segment.words] == segment.text.split()


class Labels:
    """In place of a library's model of the role `langid`: no weights of one are to be had here."""

    roles = frozenset({transcribe_cpp.Role.LANGID})
    langid_info = SimpleNamespace(min_audio_ms=500)
    names = ("en", "iw", "xx")

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.closed = False

    def langid_label_index(self, code: str) -> int | None:
        return {"en": 0, "he": 1}.get(code)

    def langid_session(self, *, n_threads: int) -> Labels:
        return self

    def run(self, samples: NDArray[np.float32]) -> SimpleNamespace:
        self.heard.append(len(samples))
        if len(self.heard) > 2:
            raise transcribe_cpp.TranscribeError("no")
        shares = zip(self.names, (0.2, 0.7, 0.1), strict=True)
        return SimpleNamespace(
            candidates=[SimpleNamespace(index=at, p=share) for at, (_, share) in enumerate(shares)]
        )

    def close(self) -> None:
        self.closed = True


def test_another_model_identifies_the_language(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where it is to be found out, with the codes that all others have; what it hears is evidence."""
    from asrctl.providers.transcribe_cpp.windows import TranscribeCpp

    labels, real, path = Labels(), transcribe_cpp.Model, tmp_path / "labels.gguf"
    monkeypatch.setattr(
        transcribe_cpp,
        "Model",
        lambda file, **more: labels if str(file) == str(path) else real(file, **more),
    )
    weights = store.resolve("base-q8_0").path
    options = TranscribeCppSettings(language_model=str(path)).options
    spec = ModelSpec("transcribe_cpp", weights, use_gpu=False, options=options)
    speech = sample_speech()
    with closing(TranscribeCpp(spec)) as model:
        assert model.transcribe(speech, replace(GREEDY, language="en"), lambda: False).evidence == ()
        open_ = replace(GREEDY, language="auto")
        assert model.transcribe(speech[:4000], open_, lambda: False).evidence == ()
        assert labels.heard == []
        heard = model.transcribe(speech, open_, lambda: False)
        assert heard.language == "he"
        (piece,) = heard.evidence
        assert piece.probabilities == (("en", 0.2), ("he", 0.7))
        either = model.transcribe(speech, replace(GREEDY, language="en,de"), lambda: False)
        assert either.language == "en" and keys(either.text) == keys(SAMPLE_TEXT)
        with pytest.raises(DecodeError, match="cannot identify the language: no"):
            model.transcribe(speech, open_, lambda: False)
    assert labels.closed


def test_a_model_that_recognises_no_speech(tiny_en: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that only finds voices or languages is an error with its name and kind."""
    from asrctl.providers.transcribe_cpp.library import Library

    monkeypatch.setattr(transcribe_cpp.Model, "roles", frozenset({transcribe_cpp.Role.LANGID}))
    with pytest.raises(ModelError, match=rf"{tiny_en.name}: this model recognises no speech \(whisper\)"):
        Library(ModelSpec("transcribe_cpp", tiny_en, use_gpu=False))


def test_a_model_that_identifies_no_language(tiny_en: Path, store: ModelStore, tmp_path: Path) -> None:
    """What the library does not load, or what does something else, is an error with its name; a model of
    one language has none loaded."""
    from asrctl.providers.transcribe_cpp.windows import TranscribeCpp

    (tmp_path / "bad.gguf").write_bytes(b"GGUF")
    several = ModelSpec("transcribe_cpp", store.resolve("base-q8_0").path, use_gpu=False)
    for path, problem in ((tiny_en, "identifies no language"), (tmp_path / "bad.gguf", "cannot load")):
        options = TranscribeCppSettings(language_model=str(path)).options
        with pytest.raises(ModelError, match=rf"{path.name}.*{problem}"):
            TranscribeCpp(replace(several, options=options))
        TranscribeCpp(replace(several, path=tiny_en, options=options)).close()


@pytest.mark.parametrize("content", [b"", b"no weights", b"GGUF" + bytes(100)])
def test_bad_weights(tmp_path: Path, content: bytes) -> None:
    """A file that is no model is an error with its name, also for a worker that was given it unread."""
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    spec = ModelSpec("transcribe_cpp", path, use_gpu=False)
    with BlockingPool(spec, PoolOptions(attempts=1)) as pool, pytest.raises(ModelError, match=r"bad\.gguf"):
        pool.wait_ready()


def test_a_model_of_ones_own(tmp_path: Path, store: ModelStore) -> None:
    """A GGUF file is taken by its path, by what its header says; it is not asked for what it cannot do."""
    model = write_model(tmp_path / "small.gguf")
    settings = Settings(provider="transcribe_cpp", model=str(model), models_dir=store.root)
    plan = prepare(settings)
    assert (plan.model, plan.spec.path, plan.multilingual) == ("small.gguf", model, False)
    assert prepare(settings.overridden(provider="auto")).provider == "transcribe_cpp"
    with pytest.raises(UsageError, match=r"small\.gguf knows English only"):
        prepare(settings.overridden(language="de"))
    model.write_bytes(model.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cut short"):
        prepare(settings)
