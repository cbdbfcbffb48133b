"""Whole sessions over loopback: every word once, every sample accounted for."""

from __future__ import annotations

import numpy as np
import pytest

from asrctl.protocol.endpointing import Endpointing
from asrctl.protocol.messages import AudioFormat, Dropped, Final, Metrics, Partial, SpeechEnded, SpeechStarted
from asrctl_tests.scripted import speak

from ..streaming.speech import silence
from .servers import PCM, Running, Talker, check_account, pcm, spoken, until


def test_a_session(shared: Running) -> None:
    """What is spoken comes back as finals in order, and the account balances to the sample."""
    with Talker(shared.url, spoken(*range(5))) as talker:
        done = talker.finish()
    assert talker.words == [f"w{number}" for number in range(5)]
    assert done.audio_offset == len(talker.audio) // 2
    assert done.dropped_s == 0
    check_account(done)
    assert talker.receive() is False
    assert talker.close_code == 1000
    assert [final.utterance for final in talker.of(Final)] == list(range(5))


def test_nothing_at_all(shared: Running) -> None:
    """A session without audio is done at once, with an account of zeros."""
    with Talker(shared.url, b"") as talker:
        assert talker.finish().received_s == 0


@pytest.mark.parametrize(
    ("format_", "channels"),
    [(AudioFormat("pcm_f32le", 16_000, 1), 1), (AudioFormat("pcm_s16le", 48_000, 2), 2)],
)
def test_formats(shared: Running, format_: AudioFormat, channels: int) -> None:
    """Other encodings, rates and channels: the same words, positions in the client's own frames."""
    samples = np.concatenate((silence(0.3), speak([5]), silence(0.8), speak([9]), silence(0.8)))
    samples = np.repeat(samples, format_.sample_rate // 16_000)
    samples = np.repeat(samples[:, None], channels, axis=1).astype(np.float32).reshape(-1)
    audio = samples.astype("<f4").tobytes() if format_.encoding == "pcm_f32le" else pcm(samples)
    with Talker(shared.url, audio, format=format_) as talker:
        done = talker.finish()
    assert len(talker.words) == 2
    assert done.audio_offset == len(audio) // format_.frame_bytes
    first, second = talker.of(Final)
    at_s = 0.3 + 0.2 + 0.8
    assert first.to <= at_s * format_.sample_rate
    assert first.to < second.from_ < second.to <= done.audio_offset
    check_account(done)


def test_an_audio_offset(shared: Running) -> None:
    """A session that continues a lost one says positions and times since the beginning of the audio."""
    with Talker(shared.url, bytes(2 * 160_000) + spoken(7), audio_offset=160_000) as talker:
        done = talker.finish()
    [final] = talker.of(Final)
    assert final.start_s == pytest.approx(10.3, abs=0.01)
    assert 160_000 == final.from_ < final.to < done.audio_offset == len(talker.audio) // 2  # soon: from there
    assert done.received_s == pytest.approx(1.3)


def test_partials_and_words(shared: Running) -> None:
    """Partials come while one speaks, if wanted; words have times, if wanted."""
    speech = pcm(np.concatenate((speak(range(10)), silence(0.8))))
    with Talker(shared.url, speech, words=True) as talker:
        talker.send(1.5)
        partial = talker.receive_until(Partial)
        assert f"{partial.stable} {partial.unstable}".split()[0] == "w0"
        talker.finish()
    assert isinstance(talker.of(SpeechStarted)[0], SpeechStarted)
    [final] = talker.of(Final)
    assert [word.text for word in final.words] == final.text.split() == [f"w{n}" for n in range(10)]
    with Talker(shared.url, speech, partials=False) as talker:
        talker.finish()
    assert not talker.of(Partial)
    assert talker.of(Final)[0].words is None


def test_flush(shared: Running) -> None:
    """A flush gives a final for what was sent, without waiting for a pause."""
    with Talker(shared.url, pcm(speak([4, 5]))) as talker:
        talker.send()
        talker._do(talker.protocol.flush())
        assert talker.receive_until(Final).text == "w4 w5"


def test_skip(shared: Running) -> None:
    """What a client lost is declared dropped, with its range and reason, and the account balances."""
    with Talker(shared.url, spoken(1, 2, 3)) as talker:
        talker.send(1.3)
        talker._do(talker.protocol.lost_before(32_000))
        done = talker.finish()
    [dropped] = talker.of(Dropped)
    assert (dropped.from_, dropped.to) == (20_800, 32_000)
    assert "could not hold" in dropped.reason
    assert done.dropped_s == pytest.approx(11_200 / 16_000)
    check_account(done)


def test_metrics_message(shared: Running) -> None:
    """A client that asks for it is told how things stand, and nobody else is."""
    with Talker(shared.url, spoken(1), metrics=True) as talker, Talker(shared.url, spoken(2)) as other:
        talker.send()
        until(lambda: talker.receive_until(Metrics).received_s > 1)
        other.finish()
        talker.finish()
    told = talker.of(Metrics)
    assert [each.received_s for each in told] == sorted(each.received_s for each in told)
    assert 1 < told[-1].received_s <= len(talker.audio) / 32_000
    assert 0 <= told[-1].pending_s <= told[-1].received_s
    assert told[-1].level == 0
    assert not other.of(Metrics)


def test_sessions_do_not_mix(shared: Running) -> None:
    """Sessions side by side hear nothing of each other."""
    talkers = [Talker(shared.url, spoken(*range(10 * n, 10 * n + 4))).connect() for n in range(5)]
    for seconds in (0.5, 1.0, 0.7, 5):
        for talker in talkers:
            talker.send(seconds)
    for n, talker in enumerate(talkers):
        check_account(talker.finish())
        assert talker.words == [f"w{number}" for number in range(10 * n, 10 * n + 4)]
        assert talker.protocol._start.format == PCM
        talker.__exit__(None, None, None)


def test_the_end_of_speech(shared: Running) -> None:
    """A client is told when an utterance has ended, before its final comes."""
    with Talker(shared.url, spoken(1, 2)) as talker:
        talker.finish()
    kinds = (SpeechStarted, SpeechEnded, Final)
    for number in range(2):
        own = [each for each in talker.news if isinstance(each, kinds) and each.utterance == number]
        assert tuple(type(each) for each in own) == kinds
    started, ended = talker.of(SpeechStarted)[1], talker.of(SpeechEnded)[1]
    assert started.utterance == ended.utterance == 1
    assert started.start_s < ended.end_s <= len(talker.audio) / 32_000


def test_endpointing_of_a_session(shared: Running) -> None:
    """A session may want longer pauses, or shorter utterances, than others."""
    audio = spoken(1, 2, 3, pause_s=0.8)
    with Talker(shared.url, audio, endpointing=Endpointing(trailing_silence_s=1.5)) as patient:
        patient.finish()
    assert [final.text for final in patient.of(Final)] == ["w1 w2 w3"]
    long = pcm(np.concatenate((speak(range(20)), silence(0.8))))
    with Talker(shared.url, long, endpointing=Endpointing(max_utterance_s=2.0)) as brief:
        brief.finish()
    assert len(brief.of(Final)) >= 2
    assert all(final.to - final.from_ <= 2.1 * 16_000 for final in brief.of(Final))


def test_how_often_a_session_has_partials(shared: Running) -> None:
    """A session may want partials more rarely than the server makes them."""
    speech = pcm(np.concatenate((speak(range(40)), silence(0.8))))
    with Talker(shared.url, speech, partial_interval_s=30.0) as talker:
        held = shared.server.hub.find(talker.protocol.session_id or "")
        assert held is not None
        for _ in range(16):
            talker.send(0.5)
            until(lambda: held.state.received == talker.protocol.next_offset)
        talker.finish()
    assert len(talker.of(Partial)) <= 2  # the first, and the final before the end was certain
