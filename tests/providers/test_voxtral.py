"""Voxtral as a resident process: utterances in, words out, each once and all of them."""

from __future__ import annotations

import random
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.errors import ProviderError, UsageError
from asrctl.providers.base import Completed, DecodeOptions
from asrctl.providers.scripted import speak
from asrctl.providers.voxtral.blocks import (
    BLOCK_BYTES,
    HEAD_BYTES,
    STEP_BYTES,
    block_end,
    blocks_per_run,
    silence_bytes,
)
from asrctl.providers.voxtral.model import Voxtral
from asrctl.providers.voxtral.options import VoxtralOptions
from asrctl.transcript import SAMPLE_RATE_HZ

from .voxtrals import Stream, options_for, until, words


@pytest.mark.parametrize(
    ("changes", "script"),
    [
        ({}, {}),
        ({}, {"stdio_bytes": 65_536}),
        ({}, {"torn": True, "prefix": "é語"}),
        ({}, {"no_monitor": True}),
        ({"interval_s": 0.1}, {"prefix": "wort"}),
        ({"interval_s": 2.0}, {}),
        ({}, {"eos_after": 4}),
        ({}, {"eos_after": 12, "stdio_bytes": 65_536}),
    ],
)
def test_each_word_of_each_utterance_comes_once(
    changes: dict[str, Any], script: dict[str, Any], tmp_path: Path
) -> None:
    """However it reads ahead, tears its text, or restarts: the pieces of an utterance are its words."""
    dice, prefix = random.Random(7), script.get("prefix", "w")
    with Voxtral(options_for(tmp_path, changes, **script)) as model:
        stream = Stream(model)
        for first in range(0, 300, 20):
            numbers = range(first, first + dice.randint(1, 20))
            stream.speak(numbers, chunk_samples=dice.choice((160, 512, 4096, 100_000)))
            done, heard = stream.completed()
            assert done.hypothesis.text == words(numbers, prefix)
            assert (
                done.hypothesis.text.endswith(heard)
                if "eos_after" in script
                else heard == done.hypothesis.text
            )


def test_an_utterance_is_one_segment_as_long_as_its_audio(tmp_path: Path) -> None:
    """Times come from the audio that was fed; the silence behind it is not counted."""
    with Voxtral(options_for(tmp_path, {})) as model:
        stream = Stream(model, DecodeOptions(language="de"))
        stream.speak(range(7))
        hypothesis = stream.completed()[0].hypothesis
    (segment,) = hypothesis.segments
    assert segment.start_s == 0.0
    assert segment.end_s == pytest.approx(1.4)
    assert hypothesis.language == "de"
    assert hypothesis.inference_s > 0


def test_words_come_while_the_utterance_goes_on(tmp_path: Path) -> None:
    """What was said a second ago is there, with no end of the utterance in sight."""
    with Voxtral(options_for(tmp_path, {})) as model:
        stream = Stream(model)
        stream.feed(speak(range(12)))
        heard = ""
        while "w4" not in heard:
            said = stream.next()
            assert not isinstance(said, Completed)
            heard += getattr(said, "text", "")


def test_audio_fed_before_completed_belongs_to_the_next_utterance(tmp_path: Path) -> None:
    """Three utterances in one go, one of them empty, come out as three."""
    with Voxtral(options_for(tmp_path, {})) as model:
        stream = Stream(model)
        stream.speak([1, 2])
        stream.session.complete()
        stream.speak([3])
        assert [stream.text() for _ in range(3)] == ["w1 w2", "", "w3"]


def test_an_utterance_without_words_has_no_segment(tmp_path: Path) -> None:
    """Noise, again and again, neither makes text nor makes the words after it vanish."""
    with Voxtral(options_for(tmp_path, {})) as model:
        stream = Stream(model)
        for seconds in (0.3, 2.0, 4.0, 5.0, 1.0, 3.0, 4.5):
            stream.feed(np.full(round(seconds * SAMPLE_RATE_HZ), 0.01, np.float32))
            stream.session.complete()
            assert stream.completed()[0].hypothesis.segments == ()
            stream.speak([1, 2])
            assert stream.text() == "w1 w2"


def test_a_decoder_that_restarts_in_mid_utterance_hears_it_again(tmp_path: Path) -> None:
    """It swallows three seconds then; the utterance is fed to it once more, and its words come once."""
    counter = tmp_path / "count"
    counter.write_text("1")
    script = {"faults": {"w5": "restart"}, "fault_count": str(counter)}
    with Voxtral(options_for(tmp_path, {}, **script)) as model:
        stream = Stream(model)
        stream.speak(range(30))
        assert stream.text() == words(range(30))
        assert counter.read_text() == "0"
        stream.speak(range(30))
        assert stream.completed()[1] == words(range(30))


def test_an_utterance_too_long_to_be_repeated_is_lost_if_it_must_be(tmp_path: Path) -> None:
    """More than a minute of it is not kept; that a part was not heard is said, not hidden."""
    with Voxtral(options_for(tmp_path, {}, faults={"w5": "restart"})) as model:
        stream = Stream(model)
        stream.speak(range(310), chunk_samples=8000)
        assert "restarted in the middle of an utterance" in stream.lost()


def test_a_decoder_that_restarts_again_when_an_utterance_is_repeated_is_lost(tmp_path: Path) -> None:
    """It has swallowed words twice; somebody else is to be asked for them."""
    with Voxtral(options_for(tmp_path, {}, faults={"w5": "restart"})) as model:
        stream = Stream(model)
        stream.speak(range(30))
        assert "restarted in the middle of an utterance" in stream.lost()


def test_its_memory_is_emptied_before_it_runs_full(tmp_path: Path) -> None:
    """Four minutes of utterances without a pause: it forgets what it is about to write in none of them."""
    with Voxtral(options_for(tmp_path, {"max_waiting_s": 300.0})) as model:
        stream = Stream(model)
        utterances = [range(first, first + 50) for first in range(0, 1200, 50)]
        for numbers in utterances:
            stream.speak(numbers, chunk_samples=8000)
        assert [stream.text() for _ in utterances] == [words(numbers) for numbers in utterances]


def test_the_stand_in_swallows_what_is_said_during_a_prompt(tmp_path: Path) -> None:
    """Without care words are lost: what the other tests rule out can happen."""
    options = options_for(tmp_path, {}, eos_after=4)
    pause = np.zeros(2 * SAMPLE_RATE_HZ, np.float32)
    audio = np.concatenate([speak([1, 2]), pause, speak([3, 4]), pause, pause, speak([5])])
    pcm = (audio * 32_768).astype("<i2").tobytes()
    done = subprocess.run(options.command(monitored=True), input=pcm, capture_output=True, check=True)
    assert done.stdout == b"w1 w2 w5\n"
    assert "✂" in done.stderr.decode()


def test_streams_are_independent(tmp_path: Path) -> None:
    """Two at a time, each with its process, mix nothing up."""
    with Voxtral(options_for(tmp_path, {"spares": 2})) as model:
        streams = [Stream(model), Stream(model)]
        for number, stream in enumerate(streams):
            stream.speak(range(100 * number, 100 * number + 10))
        texts = [stream.text() for stream in streams]
        assert texts == [words(range(10)), words(range(100, 110))]
        assert streams[0].session.pid != streams[1].session.pid


def test_no_process_is_started_by_a_stream_that_finds_one_ready(tmp_path: Path) -> None:
    """Only the keeper starts processes: one when it begins, one for each that is taken."""
    with Voxtral(options_for(tmp_path, {})) as model:
        starters = set[str]()
        for count in range(1, 4):
            until(lambda: model.state.name == "READY")
            assert model.starts == count
            stream = Stream(model)
            stream.speak([count])
            assert stream.text() == f"w{count}"
            stream.session.close()
            starters |= {thread.name for thread in threading.enumerate()}
        assert "voxtral-spares" in starters


def test_a_stream_is_refused_while_nothing_is_ready(tmp_path: Path) -> None:
    """`open` does not wait; the reason says what is going on."""
    with Voxtral(options_for(tmp_path, {"max_streams": 1}, load_s=0.2)) as model:
        with pytest.raises(ProviderError, match="still loading"):
            model.open(DecodeOptions(), print)
        stream = Stream(model)
        with pytest.raises(ProviderError, match="1 streams already"):
            model.open(DecodeOptions(), print)
        stream.session.close()
        Stream(model)
        with pytest.raises(ProviderError, match="translate"):
            model.open(DecodeOptions(translate=True), print)
    with pytest.raises(ProviderError, match="closed"):
        model.open(DecodeOptions(), print)


@given(st.integers(0, 1 << 20), st.integers(1, 100), st.floats(0.05, 10.0))
def test_silence_ends_with_a_block_and_is_long_enough(
    position_bytes: int, steps: int, interval_s: float
) -> None:
    """Wherever the encoder stands with its interval, it runs once more after the steps asked for."""
    end = position_bytes + silence_bytes(position_bytes, steps, interval_s)
    assert end == HEAD_BYTES or (end - HEAD_BYTES) % BLOCK_BYTES == 0
    reached = block_end(position_bytes + steps * STEP_BYTES)
    frames_between = (end + BLOCK_BYTES - reached) // 320
    assert frames_between >= max(1, int(interval_s * 100))
    assert end - reached < blocks_per_run(interval_s) * BLOCK_BYTES


@pytest.mark.parametrize(
    "wrong",
    [
        {"interval_s": 0.0},
        {"spares": 0},
        {"max_streams": 0},
        {"load_timeout_s": 0.0},
        {"max_waiting_s": -1.0},
    ],
)
def test_options_are_checked(wrong: dict[str, Any]) -> None:
    """A value that makes no sense is refused at once."""
    with pytest.raises(UsageError, match="voxtral"):
        VoxtralOptions(Path("voxtral"), Path("voxtral-model"), **wrong)
