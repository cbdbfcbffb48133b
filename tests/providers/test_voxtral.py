"""Voxtral as a resident process: utterances in, words out, each once and all of them."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.errors import ProviderError
from asrctl.providers.base import DecodeOptions
from asrctl.providers.voxtral.blocks import (
    BLOCK_BYTES,
    HEAD_BYTES,
    STEP_BYTES,
    block_end,
    blocks_per_run,
    silence_bytes,
)
from asrctl.providers.voxtral.settings import VoxtralSettings
from asrctl.transcript import SAMPLE_RATE_HZ
from asrctl_tests.scripted import speak

from .ears import Ear, in_loop, request, until, words
from .voxtral_standin import install, make_weights
from .voxtrals import closing, open_stream, pid_of, standin


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
@in_loop
async def test_each_word_of_each_utterance_comes_once(
    changes: dict[str, Any], script: dict[str, Any], tmp_path: Path
) -> None:
    """However it reads ahead, tears its text, or restarts: partials grow to an utterance's words."""
    dice, prefix = random.Random(7), script.get("prefix", "w")
    async with closing(standin(tmp_path, changes, **script)) as voxtral:
        stream = await open_stream(voxtral)
        for number, first in enumerate(range(0, 300, 20)):
            spoken = range(first, first + dice.randint(1, 20))
            stream.utter(*spoken, chunk=dice.choice((160, 512, 4096, 100_000)))
            assert (await stream.ear.wait_completed(number + 1))[-1] == words(spoken, prefix)
            heard = stream.ear.heard(number)
            for one in heard if "eos_after" not in script else ():
                said = " ".join((*one.stable, *one.unstable))
                assert words(spoken, prefix).startswith(said)
                assert words(spoken, prefix).split()[: len(one.stable)] == list(one.stable)
                assert 0 < one.samples <= len(spoken) * SAMPLE_RATE_HZ // 5
            if "eos_after" not in script:
                assert stream.ear.last_heard(number) == words(spoken, prefix)


@in_loop
async def test_an_utterance_is_one_segment_as_long_as_its_audio(tmp_path: Path) -> None:
    """Times come from the audio that was fed; the silence behind it is not counted."""
    async with closing(standin(tmp_path)) as voxtral:
        stream = await open_stream(voxtral, request(DecodeOptions(language="de")))
        stream.utter(*range(7))
        await stream.ear.wait_completed(1)
        hypothesis = stream.ear.completed[0].hypothesis
    (segment,) = hypothesis.segments
    assert (segment.start_s, segment.confidence) == (0.0, 1.0)
    assert segment.end_s == pytest.approx(1.4)
    assert hypothesis.language == "de"
    assert hypothesis.inference_s > 0


@in_loop
async def test_words_come_while_the_utterance_goes_on(tmp_path: Path) -> None:
    """What was said a second ago is there, with no end of the utterance in sight."""
    async with closing(standin(tmp_path)) as voxtral:
        stream = await open_stream(voxtral)
        stream.feed(speak(range(12)))
        await stream.ear.wait(lambda: "w4" in stream.ear.last_heard(0))
        assert not stream.ear.completed


@in_loop
async def test_no_partials_where_none_are_wanted(tmp_path: Path) -> None:
    """Neither for a request without them, nor while they are declined."""
    async with closing(standin(tmp_path, {"spares": 2})) as voxtral:
        finals = await open_stream(voxtral, request(pacing=None))
        stream = await open_stream(voxtral)
        stream.stream.want_partials(None)
        for each in (finals, stream):
            each.utter(*range(12))
            assert await each.ear.wait_completed(1) == [words(range(12))]
            assert not each.ear.heard(0)
        stream.stream.want_partials(2.0)
        stream.utter(*range(12))
        await stream.ear.wait_completed(2)
        assert stream.ear.heard(1)


@in_loop
async def test_audio_fed_before_completed_belongs_to_the_next_utterance(tmp_path: Path) -> None:
    """Three utterances in one go, one of them empty, come out as three."""
    async with closing(standin(tmp_path)) as voxtral:
        stream = await open_stream(voxtral)
        stream.utter(1, 2)
        stream.end()
        stream.utter(3)
        assert await stream.ear.wait_completed(3) == ["w1 w2", "", "w3"]


@in_loop
async def test_nothing_is_said_of_a_dropped_utterance(tmp_path: Path) -> None:
    """One that is under way, and one that waits, which is not even listened to."""
    async with closing(standin(tmp_path)) as voxtral:
        stream = await open_stream(voxtral)
        for numbers in ([1], [2], [3], [4]):
            stream.utter(*numbers)
        stream.drop(0)
        stream.drop(2)
        await stream.ear.wait_completed(2)
        assert [(each.utterance, each.hypothesis.text) for each in stream.ear.completed] == [
            (1, "w2"),
            (3, "w4"),
        ]
        assert stream.ear.over == {1, 3}


@in_loop
async def test_an_utterance_without_words_has_no_segment(tmp_path: Path) -> None:
    """Noise, again and again, neither makes text nor makes the words after it vanish."""
    async with closing(standin(tmp_path)) as voxtral:
        stream = await open_stream(voxtral)
        for count, seconds in enumerate((0.3, 2.0, 4.0, 5.0, 1.0, 3.0, 4.5)):
            stream.feed(np.full(round(seconds * SAMPLE_RATE_HZ), 0.01, np.float32))
            stream.end()
            stream.utter(1, 2)
            assert (await stream.ear.wait_completed(2 * count + 2))[-2:] == ["", "w1 w2"]
            assert stream.ear.completed[-2].hypothesis.segments == ()


@in_loop
async def test_a_decoder_that_restarts_in_mid_utterance_hears_it_again(tmp_path: Path) -> None:
    """It swallows three seconds then; the utterance is fed to it once more, and its words come once."""
    counter = tmp_path / "count"
    counter.write_text("1")
    script = {"faults": {"w5": "restart"}, "fault_count": str(counter)}
    async with closing(standin(tmp_path, **script)) as voxtral:
        stream = await open_stream(voxtral)
        stream.utter(*range(30))
        assert await stream.ear.wait_completed(1) == [words(range(30))]
        assert counter.read_text() == "0"
        stream.utter(*range(30))
        await stream.ear.wait_completed(2)
        assert stream.ear.last_heard(1) == words(range(30))


@pytest.mark.parametrize("count", [30, 310])
@in_loop
async def test_a_decoder_that_restarts_again_costs_three_seconds(count: int, tmp_path: Path) -> None:
    """What it printed is kept, as doubtful, and the stream goes on; also for one too long to be repeated."""
    async with closing(standin(tmp_path, faults={"w5": "restart"})) as voxtral:
        stream = await open_stream(voxtral)
        stream.utter(*range(count), chunk=8000)
        stream.utter(400, 401)
        text, after = await stream.ear.wait_completed(2)
        assert after == "w400 w401"
        heard = text.split()
        assert set(heard) <= set(words(range(count)).split()) and len(heard) == len(set(heard))
        assert count - 3.2 / 0.2 - 1 <= len(heard) < count
        assert stream.ear.completed[0].hypothesis.confidence < 1


@in_loop
async def test_its_memory_is_emptied_before_it_runs_full(tmp_path: Path) -> None:
    """Four minutes of utterances without a pause: it forgets what it is about to write in none of them."""
    async with closing(standin(tmp_path, {"max_waiting_s": 300.0})) as voxtral:
        stream = await open_stream(voxtral)
        utterances = [range(first, first + 50) for first in range(0, 1200, 50)]
        for numbers in utterances:
            stream.utter(*numbers, chunk=8000)
        texts = await stream.ear.wait_completed(len(utterances))
        assert texts == [words(numbers) for numbers in utterances]


def test_the_stand_in_swallows_what_is_said_during_a_prompt(tmp_path: Path) -> None:
    """Without care words are lost: what the other tests rule out can happen."""
    weights = make_weights(tmp_path / "voxtral-model")
    program = install(tmp_path, eos_after=4)
    pause = np.zeros(2 * SAMPLE_RATE_HZ, np.float32)
    audio = np.concatenate([speak([1, 2]), pause, speak([3, 4]), pause, pause, speak([5])])
    pcm = (audio * 32_768).astype("<i2").tobytes()
    command = VoxtralSettings().command(program, weights, monitored=True)
    done = subprocess.run(command, input=pcm, capture_output=True, check=True)
    assert done.stdout == b"w1 w2 w5\n"
    assert "✂" in done.stderr.decode()


@in_loop
async def test_streams_are_independent(tmp_path: Path) -> None:
    """Two at a time, each with its process, mix nothing up."""
    async with closing(standin(tmp_path, {"spares": 2})) as voxtral:
        streams = [await open_stream(voxtral), await open_stream(voxtral)]
        for number, stream in enumerate(streams):
            stream.utter(*range(100 * number, 100 * number + 10))
        texts = [await stream.ear.wait_completed(1) for stream in streams]
        assert texts == [[words(range(10))], [words(range(100, 110))]]
        assert pid_of(streams[0]) != pid_of(streams[1])


@in_loop
async def test_a_process_is_loaded_ahead_for_the_next_stream(tmp_path: Path) -> None:
    """One when it begins, one for each that is taken: no stream waits for a start."""
    async with closing(standin(tmp_path)) as voxtral:
        for count in range(1, 4):
            await until(lambda: voxtral.state.name == "READY")
            assert voxtral.starts == count
            stream = await open_stream(voxtral)
            stream.utter(count)
            assert await stream.ear.wait_completed(1) == [f"w{count}"]
            stream.close()


@in_loop
async def test_a_stream_is_refused_while_nothing_is_ready(tmp_path: Path) -> None:
    """`open` does not wait; the reason says what is going on."""
    async with closing(standin(tmp_path, {"max_streams": 1}, load_s=0.2)) as voxtral:
        with pytest.raises(ProviderError, match="still loading"):
            voxtral.open(request(), Ear())
        stream = await open_stream(voxtral)
        with pytest.raises(ProviderError, match=r"1 streams already: as many as \[voxtral\] max_streams"):
            voxtral.open(request(), Ear())
        stream.close()
        await open_stream(voxtral)
        with pytest.raises(ProviderError, match="translate"):
            voxtral.open(request(DecodeOptions(translate=True)), Ear())
    with pytest.raises(ProviderError, match="closed"):
        voxtral.open(request(), Ear())


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
