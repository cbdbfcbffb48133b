"""The port of clients that speak Wyoming: sessions, bounds on strangers, the end."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.event import Event
from wyoming.info import Describe, Info

from asrctl.audio.sample import SAMPLE_WORDS, sample_speech
from asrctl.audio.vad import SileroVad
from asrctl.errors import AsrctlError
from asrctl.policy.admission import AdmissionOptions
from asrctl.protocol.messages import Limits
from asrctl.protocol.wyoming.framing import EventReader, WyomingEvent, encode
from asrctl.providers.base import ModelSpec
from asrctl.server.dialects import wyoming
from asrctl.server.options import ServeOptions

from ..servers import PATIENCE_S, Running, options_for, pcm, running, script, spoken, until

Scripted = Callable[..., ModelSpec]
MONO = {"rate": 16_000, "width": 2, "channels": 1}
STOP = encode("audio-stop")
PING = encode("ping")


def serving(spec: ModelSpec, *, ready: bool = True, **changes: Any) -> AbstractContextManager[Running]:
    """A server with a port for Wyoming, and two places."""
    changes.setdefault("admission", AdmissionOptions(max_sessions=2))
    return running(options_for(spec, wyoming_port=0, **changes), ready=ready)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """For tests that do it no harm."""
    with serving(script(tmp_path_factory.mktemp("script") / "plain.json")) as server:
        yield server


@pytest.fixture
def own(scripted: Scripted) -> Iterator[Running]:
    """A server whose places, log and metrics are of one test."""
    with serving(scripted()) as server:
        yield server


class Wyomingly:
    """A client with a bare socket."""

    def __init__(self, server: Running) -> None:
        assert server.server.wyoming is not None
        self.socket = socket.create_connection(("127.0.0.1", server.server.wyoming.port), PATIENCE_S)
        self.events = EventReader()
        self.heard: list[WyomingEvent] = []

    def send(self, *data: bytes) -> None:
        self.socket.sendall(b"".join(data))

    def receive(self) -> WyomingEvent | None:
        """The next event; None for the end."""
        while (event := self.events.next()) is None:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self.events.feed(data)
        self.heard.append(event)
        return event

    def until(self, kind: str) -> dict[str, Any]:
        """Take what comes up to an event of a kind."""
        while (event := self.receive()) is not None:
            if event.type == kind:
                return dict(event.data)
        raise AssertionError(f"closed without {kind}: {self.heard}")

    def ended(self) -> str:
        """The code of the last error before the server closes; empty for none."""
        while self.receive() is not None:
            pass
        errors = [str(event.data["code"]) for event in self.heard if event.type == "error"]
        return errors[-1] if errors else ""

    def close(self) -> None:
        self.socket.close()


def chunks(audio: bytes, size: int = 2048, **format_: int) -> bytes:
    """Audio as a client sends it."""
    pieces = range(0, len(audio), size)
    return b"".join(encode("audio-chunk", MONO | format_, audio[at : at + size]) for at in pieces)


def test_utterances_on_one_socket(own: Running) -> None:
    """Each has its transcript, whose chunks together are its text; a place is held only meanwhile."""
    with closing(Wyomingly(own)) as client:
        for numbers in ((1, 2), (3,)):
            client.send(encode("audio-start", MONO), chunks(spoken(*numbers)), STOP)
            text = client.until("transcript")["text"]
            assert text == " ".join(f"w{number}" for number in numbers)
            assert "".join(e.data["text"] for e in client.heard if e.type == "transcript-chunk") == text
            client.until("transcript-stop")
            client.heard.clear()
            until(lambda: not own.sessions and not len(own.server.hub.admission))
    log = own.log.getvalue()
    assert log.count("event=session.done") == 2 and "dropped_s=0.000" in log and "dialect=wyoming" in log
    assert "url=tcp://127.0.0.1:" in log
    assert own.metric('asrctl_results_total{kind="final"}') == 3


def test_utterances_that_are_sent_all_at_once(server: Running) -> None:
    """They are answered in order; what asks for no transcript need not wait for the last one."""
    with closing(Wyomingly(server)) as client:
        client.send(*(chunks(spoken(number)) + STOP for number in (1, 2, 3)), encode("ping", {"text": "x"}))
        assert [client.until("transcript")["text"] for _ in range(3)] == ["w1", "w2", "w3"]
        assert [dict(each.data) for each in client.heard if each.type == "pong"] == [{"text": "x"}]


def test_a_client_that_sends_no_more(scripted: Scripted) -> None:
    """One that closes its half of the connection has the transcripts that it asked for, and the end; one in
    the middle of an utterance has left."""
    with serving(scripted(delay_s=0.1)) as server:
        with closing(Wyomingly(server)) as client:
            client.send(*(chunks(spoken(number)) + STOP for number in (1, 2)))
            client.socket.shutdown(socket.SHUT_WR)
            assert [client.until("transcript")["text"] for _ in range(2)] == ["w1", "w2"]
            assert client.ended() == "" and client.heard[-1].type == "transcript-stop"
        with closing(Wyomingly(server)) as client:
            client.send(chunks(spoken(1)))
            until(lambda: server.sessions == 1)
            client.socket.shutdown(socket.SHUT_WR)
            assert client.ended() == ""
            until(lambda: not server.sessions and not len(server.server.hub.admission))


def test_formats_of_all_kinds(server: Running) -> None:
    """Rate, width and channels of each chunk are obeyed, also where they change within an utterance."""
    samples = np.frombuffer(spoken(5), "<i2")
    wide = (samples.astype("<i4") << 16).tobytes()
    stereo = np.repeat(samples, 2).tobytes()
    tripled = np.repeat(samples, 3).tobytes()
    with closing(Wyomingly(server)) as client:
        for audio, format_ in (
            (wide, {"width": 4}),
            (stereo, {"channels": 2}),
            (tripled, {"rate": 48_000}),
            (samples[::2].tobytes(), {"rate": 8_000}),
        ):
            client.send(chunks(audio, 2_047, **format_), STOP)
            [word] = client.until("transcript")["text"].split()
            assert abs(int(word[1:]) - 5) < 20  # resampling moves a level a little, noise would be far away
        client.send(chunks(wide, width=4), chunks(samples.tobytes()), STOP)
        assert client.until("transcript")["text"] == "w5 w5"


def test_audio_that_comes_much_too_fast(server: Running) -> None:
    """A minute at once: nothing is lost, pings are answered, and others have their turn."""
    numbers = list(range(40))
    with closing(Wyomingly(server)) as client, closing(Wyomingly(server)) as other:
        client.send(chunks(spoken(*numbers)), PING, STOP)
        client.until("pong")
        other.send(encode("describe"))
        assert other.until("info")["asr"][0]["models"][0]["name"] == "words"
        assert client.until("transcript")["text"] == " ".join(f"w{number}" for number in numbers)


def test_a_server_that_loads_is_described_and_refuses(scripted: Scripted) -> None:
    """An answer comes at once; an utterance is told why not, and the connection closed."""
    with serving(scripted(delay_s=30.0), ready=False) as server, closing(Wyomingly(server)) as client:
        started_s = time.monotonic()
        client.send(encode("describe"))
        assert client.until("info")["asr"][0]["requires_external_vad"] is True
        assert time.monotonic() - started_s < PATIENCE_S / 4
        client.send(chunks(spoken(1)), STOP)
        assert client.ended() == "overloaded"


def test_a_full_server_is_described_and_refuses(own: Running) -> None:
    """Those who are in are not touched; the place of one who leaves is free at once."""
    inside = [Wyomingly(own) for _ in range(2)]
    for client in inside:
        client.send(chunks(spoken(1, pause_s=0.0)))
    until(lambda: own.sessions == 2)
    with closing(Wyomingly(own)) as late:
        late.send(encode("describe"))
        late.until("info")
        late.send(chunks(spoken(2)))
        assert late.ended() == "overloaded"
    assert own.metric('asrctl_rejected_total{reason="capacity"}') == 1
    inside[0].close()
    until(lambda: own.sessions == 1)
    with closing(Wyomingly(own)) as next_one:
        next_one.send(chunks(spoken(3)), STOP)
        assert next_one.until("transcript")["text"] == "w3"
    inside[1].send(STOP)
    assert inside[1].until("transcript")["text"] == "w1"
    inside[1].close()


def test_a_client_that_vanishes(own: Running) -> None:
    """Its session ends at once, and the account of the server balances."""
    with closing(Wyomingly(own)) as client:
        client.send(chunks(spoken(1, 2) + spoken(3, pause_s=0.0)))
        client.until("transcript-chunk")
    until(lambda: not own.sessions and not len(own.server.hub.admission))
    received = own.metric("asrctl_audio_received_seconds_total")
    outcomes = ("finalised", "silent", "dropped")
    parts = [own.metric(f'asrctl_audio_seconds_total{{outcome="{each}"}}') for each in outcomes]
    assert received > 0 and received == pytest.approx(sum(parts))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\n",
        b"x" * 70_000,
        b'{"type": "audio-chunk", "payload_length": 1048577}\n',
        b'{"type": "describe", "data_length": 65537}\n',
        chunks(b"ab", rate=4_000),
        encode("transcribe", {"language": "xx"}),
    ],
)
def test_what_is_not_wyoming_is_told_and_closed(server: Running, data: bytes) -> None:
    """Whatever comes after it is thrown away."""
    with closing(Wyomingly(server)) as client:
        client.send(data, b"x" * 100_000)
        assert client.ended() == "bad_request"


@pytest.mark.parametrize("drip", [b"", b'{"type": ', encode("audio-chunk", MONO, bytes(100))[:-1]])
def test_strangers_have_their_time(scripted: Scripted, drip: bytes) -> None:
    """Without a session, a whole event has to come now and then; bytes alone do not count."""
    limits = Limits(handshake_timeout_s=1.0)
    with serving(scripted(), limits=limits) as server, closing(Wyomingly(server)) as client:
        client.send(encode("ping"), drip)
        client.until("pong")
        assert client.ended() == ""
        assert server.server.hub.engine.ready


def test_silence_in_the_middle_of_an_utterance_has_an_end(scripted: Scripted) -> None:
    """The place is free again."""
    limits = Limits(handshake_timeout_s=1.0, idle_timeout_s=1.5)
    with serving(scripted(), limits=limits) as server, closing(Wyomingly(server)) as client:
        client.send(chunks(spoken(1)), b"{")
        assert client.ended() == "idle"
        until(lambda: not len(server.server.hub.admission))


def test_too_many_connections(scripted: Scripted) -> None:
    """One that has no session makes way for the next; a session does not."""
    options = {"max_connections": 4, "max_connections_per_peer": 4}
    with serving(scripted(), **options) as server, closing(Wyomingly(server)) as inside:
        inside.send(chunks(spoken(1)))
        until(lambda: server.sessions == 1)
        crowd = [Wyomingly(server) for _ in range(8)]
        inside.send(STOP)
        assert inside.until("transcript")["text"] == "w1"
        assert sum(client.ended() in ("", "overloaded") for client in crowd[:4]) == 4
        for client in crowd:
            client.close()


def test_a_client_that_does_not_read(own: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cut off when too much waits for it."""
    monkeypatch.setattr(wyoming, "_MAX_UNSENT_BYTES", 1 << 14)
    with closing(Wyomingly(own)) as client:
        client.socket.settimeout(PATIENCE_S)
        client.send(chunks(spoken(1)))
        until(lambda: own.sessions == 1)
        with pytest.raises(OSError):
            for _ in range(10_000):
                client.send(encode("describe") * 100)
    assert "reason=slow_reader" in own.log.getvalue()


def test_questions_without_end(server: Running) -> None:
    """Who has no utterance may ask what there is, but not all the time."""
    with closing(Wyomingly(server)) as client:
        client.send(encode("describe") * 20)
        for _ in range(20):
            client.until("info")
        client.send(encode("ping") * 200)
        assert client.ended() == ""
        assert "reason=too_many_messages" in server.log.getvalue()


def test_a_shutdown(scripted: Scripted) -> None:
    """What was asked is answered; what was not is told, after what was heard of it; both are closed."""
    with serving(scripted(delay_s=0.3)) as server, ExitStack() as stack:
        asked, speaking, idle = (stack.enter_context(closing(Wyomingly(server))) for _ in range(3))
        asked.send(chunks(spoken(1)), STOP, PING)
        speaking.send(chunks(spoken(2, pause_s=0.0)), PING)
        idle.send(PING)
        for client in (asked, speaking, idle):
            client.until("pong")
        server.server.stop()
        assert asked.until("transcript")["text"] == "w1"
        assert speaking.until("transcript-chunk")["text"] == "w2"
        assert {asked.ended(), speaking.ended(), idle.ended()} == {"going_away"}
        assert not any(event.type == "transcript" for event in speaking.heard)
        server.join()


def test_shutdown_by_force_leaves_nothing(scripted: Scripted) -> None:
    """Connections are cut at once."""
    with serving(scripted()) as server:
        client = Wyomingly(server)
        client.send(chunks(spoken(1)))
        until(lambda: server.sessions == 1)
        server.server.stop()
        server.server.stop()
        server.join()
        client.ended()
        client.close()


def test_a_port_that_is_taken(server: Running, scripted: Scripted) -> None:
    """One line says which port it was, and which option chooses another."""
    assert server.server.wyoming is not None
    port = server.server.wyoming.port
    with pytest.raises(AsrctlError, match=f":{port}: another program has the port; --wyoming 0"):
        Running(options_for(scripted(), wyoming_port=port))


# The client library of Home Assistant


async def heard_by_library(port: int, pieces: list[Event]) -> list[Event]:
    """What comes back, up to the transcript."""
    async with AsyncTcpClient("127.0.0.1", port, read_timeout=PATIENCE_S) as client:
        await client.write_event(Describe().event())
        events = [await client.read_event()]
        for piece in pieces:
            await client.write_event(piece)
        while events[-1] is not None and not Transcript.is_type(events[-1].type):
            events.append(await client.read_event())
    return [event for event in events if event is not None]


@pytest.mark.integration
def test_the_library_with_real_weights(real_wyoming: Running) -> None:
    """An unmodified client, in the way of Home Assistant: describe, transcribe, audio, transcript."""
    audio = np.frombuffer(pcm(sample_speech()), "<i2")
    doubled = np.repeat(np.repeat(audio, 3), 2).astype("<i4") << 16
    for samples, format_ in ((audio, (16_000, 2, 1)), (doubled, (48_000, 4, 2))):
        pieces = [Transcribe(language="en").event(), AudioStart(*format_).event()]
        data, size = samples.tobytes(), 1024 * format_[1] * format_[2]
        pieces += [AudioChunk(*format_, data[at : at + size]).event() for at in range(0, len(data), size)]
        pieces.append(AudioStop().event())
        assert real_wyoming.server.wyoming is not None
        first, *_, last = asyncio.run(heard_by_library(real_wyoming.server.wyoming.port, pieces))
        [program] = Info.from_event(first).asr
        assert program.models[0].languages == ["en"] and program.supports_transcript_streaming
        transcript = Transcript.from_event(last)
        words = {word.strip(".,").casefold() for word in transcript.text.split()}
        assert words >= SAMPLE_WORDS and transcript.language == "en"


@pytest.fixture
def real_wyoming(real_options: ServeOptions, silero: Callable[[], SileroVad]) -> Iterator[Running]:
    with running(replace(real_options, wyoming_port=0), detector=silero) as server:
        yield server
