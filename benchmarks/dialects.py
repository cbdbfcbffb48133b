"""What the server's other live dialects cost against its own: words, latency of finals, memory.

python -m benchmarks.dialects --sessions 10 --seconds 25 --rounds 2

One server; the same talks through each dialect in turn, each session paced as audio comes from a microphone,
through a client that does nothing but send and note what comes. Words are written into the audio and read by
the provider `scripted`, so that differences are those of the dialects, and the end of each utterance is known
to the sample. Sessions ask for no partials.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from wyoming.asr import Transcript, TranscriptChunk
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient

from asrctl.bench.paced import Talk, pieces
from asrctl.bench.setup import Samples
from asrctl.bench.wer import WordErrors, word_errors
from asrctl.client import Client, ClientOptions
from asrctl.protocol.messages import Final
from asrctl_tests.scripted import speak
from benchmarks.common import SAMPLE_RATE_HZ, Table, machine, note, save, table
from benchmarks.serve_process import ServerProcess, Watch, end_on_sigterm
from benchmarks.serve_sessions import wait_live

_LATENCY_GOAL_S, _MEMORY_GOAL_MB = 0.05, 10.0
_HEAD_START_S = 0.2
_DECODE_S = 0.02
_WORDS, _PAUSES_S = (2, 8), (1.2, 2.0)
_AFTER_S = 2.0
"""After the last utterance: longer than a pause that ends one, and its final, take."""
_SPREAD_S = 2.0


class Speaker(Protocol):
    """One client in a session."""

    async def feed(self, samples: Samples) -> None:
        """Send audio."""
        ...

    async def finish(self) -> None:
        """Say that no more comes."""
        ...

    async def listen(self, heard: Callable[[str], None]) -> None:
        """Tell of the text of each final, to the end."""
        ...


class Native:
    """`asrctl.v1`, by our own client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def feed(self, samples: Samples) -> None:
        self._client.feed(samples)

    async def finish(self) -> None:
        self._client.finish()

    async def listen(self, heard: Callable[[str], None]) -> None:
        async for event in self._client:
            if isinstance(event, Final):
                heard(event.text)


class Realtime:
    """OpenAI's realtime transcription, with the server's turns."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def feed(self, samples: Samples) -> None:
        audio = base64.b64encode(pcm(samples)).decode()
        await self._socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))

    async def finish(self) -> None:
        await self._socket.close()  # nothing is open: talks end with a pause

    async def listen(self, heard: Callable[[str], None]) -> None:
        async for text in self._socket:
            event = json.loads(text)
            if event["type"].endswith(".completed"):
                heard(event["transcript"])


class Deepgram:
    """Deepgram's live protocol."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def feed(self, samples: Samples) -> None:
        await self._socket.send(pcm(samples))

    async def finish(self) -> None:
        await self._socket.send('{"type": "CloseStream"}')

    async def listen(self, heard: Callable[[str], None]) -> None:
        async for text in self._socket:
            event = json.loads(text)
            if event["type"] == "Results" and (said := event["channel"]["alternatives"][0]["transcript"]):
                heard(said)


class Wyoming:
    """Home Assistant's, by its own client: a session is one utterance there, each final a chunk of it."""

    def __init__(self, client: AsyncTcpClient) -> None:
        self._client = client

    async def feed(self, samples: Samples) -> None:
        await self._client.write_event(AudioChunk(SAMPLE_RATE_HZ, 2, 1, pcm(samples)).event())

    async def finish(self) -> None:
        await self._client.write_event(AudioStop().event())

    async def listen(self, heard: Callable[[str], None]) -> None:
        while (event := await self._client.read_event()) is not None:
            if Transcript.is_type(event.type):
                return
            if TranscriptChunk.is_type(event.type):
                heard(TranscriptChunk.from_event(event).text)


def pcm(samples: Samples) -> bytes:
    """As signed 16-bit PCM."""
    return np.round(samples * 32767).astype("<i2").tobytes()


@asynccontextmanager
async def native(server: ServerProcess) -> AsyncIterator[Speaker]:
    """A session that is ready."""
    async with Client(server.url, ClientOptions(partials=False)) as client:
        await wait_live(client)
        yield Native(client)


@asynccontextmanager
async def realtime(server: ServerProcess) -> AsyncIterator[Speaker]:
    """A session with 16 kHz."""
    async with connect(f"{_base(server)}/v1/realtime", proxy=None, compression=None) as socket:
        format_ = {"type": "audio/pcm", "rate": SAMPLE_RATE_HZ}
        session = {"type": "transcription", "audio": {"input": {"format": format_}}}
        await socket.send(json.dumps({"type": "session.update", "session": session}))
        yield Realtime(socket)


@asynccontextmanager
async def deepgram(server: ServerProcess) -> AsyncIterator[Speaker]:
    """A session with raw audio."""
    query = f"model=nova-3&encoding=linear16&sample_rate={SAMPLE_RATE_HZ}"
    async with connect(f"{_base(server)}/v1/listen?{query}", proxy=None, compression=None) as socket:
        yield Deepgram(socket)


@asynccontextmanager
async def wyoming(server: ServerProcess) -> AsyncIterator[Speaker]:
    """An utterance that has begun."""
    line = next(line for line in server.lines if "protocol=wyoming" in line)
    port = int(line.split("url=tcp://")[1].split()[0].rpartition(":")[2])
    async with AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(AudioStart(SAMPLE_RATE_HZ, 2, 1).event())
        yield Wyoming(client)


def _base(server: ServerProcess) -> str:
    return f"ws://{urlsplit(server.url).netloc}"


DIALECTS = {"native": native, "realtime": realtime, "deepgram": deepgram, "wyoming": wyoming}


def talk_of(seconds: float, seed: int, starts_s: float) -> tuple[Talk, list[float]]:
    """Utterances with pauses, about so long in all, and where each utterance ends, in seconds."""
    rng = np.random.default_rng(seed)
    parts, texts, ends_s = [np.zeros(SAMPLE_RATE_HZ // 2, np.float32)], list[str](), list[float]()
    while sum(map(len, parts)) < seconds * SAMPLE_RATE_HZ:
        numbers = [int(number) for number in rng.integers(1_000, size=rng.integers(*_WORDS))]
        parts.append(speak(numbers))
        texts += [f"w{number}" for number in numbers]
        ends_s.append(sum(map(len, parts)) / SAMPLE_RATE_HZ)
        parts.append(np.zeros(round(rng.uniform(*_PAUSES_S) * SAMPLE_RATE_HZ), np.float32))
    parts.append(np.zeros(round(_AFTER_S * SAMPLE_RATE_HZ), np.float32))
    return Talk(np.concatenate(parts), " ".join(texts), starts_s), ends_s


@dataclass(slots=True)
class Side:
    """One dialect, over all rounds: seconds from the end of each utterance to its final, words, memory."""

    final_s: list[float] = field(default_factory=list)
    words: WordErrors = field(default_factory=lambda: WordErrors(0, 0))
    peak_mb: list[float] = field(default_factory=list)
    unpaired: int = 0
    """Sessions in which there was not one final for each utterance."""

    def add(self, talk: Talk, ends_s: Sequence[float], heard: Sequence[tuple[float, str]]) -> None:
        """Add a session."""
        self.words += word_errors(talk.text or "", " ".join(text for _, text in heard))
        if len(ends_s) == len(heard):
            self.final_s += [at_s - end_s for end_s, (at_s, _) in zip(ends_s, heard, strict=True)]
        else:
            self.unpaired += 1

    def quantile_s(self, share: float) -> float:
        """Of the finals; NaN where there are none."""
        return float(np.quantile(self.final_s, share)) if self.final_s else float("nan")


async def play(server: ServerProcess, dialect: str, talks: Sequence[Talk]) -> list[list[tuple[float, str]]]:
    """All talks at once at real time; the text of each final and when it came, in seconds of its session."""
    heard: list[list[tuple[float, str]]] = [[] for _ in talks]
    async with AsyncExitStack() as stack:
        speakers = [await stack.enter_async_context(DIALECTS[dialect](server)) for _ in talks]
        started_s = time.monotonic() + _HEAD_START_S

        async def listen(index: int) -> None:
            begin_s = started_s + talks[index].offset_s
            try:
                await speakers[index].listen(
                    lambda text: heard[index].append((time.monotonic() - begin_s, text))
                )
            except ConnectionClosed as closed:
                note(f"{dialect}: {closed}")

        listening = [asyncio.create_task(listen(index)) for index in range(len(talks))]
        for piece in pieces(talks):
            await asyncio.sleep(started_s + piece.due_s - time.monotonic())
            for index, chunk, last in piece.chunks:
                await _give(speakers[index], chunk, last)
        await asyncio.gather(*listening)
    return heard


async def _give(speaker: Speaker, chunk: Samples, last: bool) -> None:
    await speaker.feed(chunk)
    if last:
        await speaker.finish()


def measure(server: ServerProcess, options: argparse.Namespace) -> dict[str, Side]:
    """Each dialect in each round, another one first each time."""
    given = [
        talk_of(options.seconds, seed, seed * _SPREAD_S / options.sessions)
        for seed in range(options.sessions)
    ]
    talks, sides = [talk for talk, _ in given], {name: Side() for name in DIALECTS}
    asyncio.run(play(server, "native", [talk_of(2.0, 0, 0.0)[0]]))  # what is loaded once is loaded now
    for number in range(options.rounds):
        for name in [*list(DIALECTS)[number % 4 :], *list(DIALECTS)[: number % 4]]:
            note(f"round {number + 1} of {options.rounds}: {name}")
            with Watch(server, 0.5) as watch:
                heard = asyncio.run(play(server, name, talks))
            sides[name].peak_mb.append(max(each.pss_mb for each in watch.memory))
            for (talk, ends_s), each in zip(given, heard, strict=True):
                sides[name].add(talk, ends_s, each)
    return sides


def report(sides: dict[str, Side]) -> tuple[Table, bool]:
    """The figures, and whether all dialects are as near to the native one as they are to be."""
    own, rows, good = sides["native"], [], True
    for name, side in sides.items():
        late_s = side.quantile_s(0.95) - own.quantile_s(0.95)
        more_mb = max(side.peak_mb) - max(own.peak_mb)
        good &= late_s <= _LATENCY_GOAL_S and more_mb <= _MEMORY_GOAL_MB
        good &= (side.words.percent, side.unpaired) == (0.0, 0)
        times_ms = [round(1000 * each, 1) for each in (side.quantile_s(0.5), side.quantile_s(0.95), late_s)]
        rows.append([name, len(side.final_s), side.words.percent, *times_ms, max(side.peak_mb), more_mb])
    header = ["dialect", "finals", "wrong words %", "final p50 ms", "p95 ms", "p95 against native ms"]
    return table([*header, "memory MB", "against native MB"], rows), good


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 1 if a dialect is too far from the native one."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dialects", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--sessions", type=int, default=10, help="at once")
    parser.add_argument("--seconds", type=float, default=25.0, help="of each session")
    parser.add_argument("--rounds", type=int, default=2, help="of each dialect")
    parser.add_argument("--output", metavar="NAME", help="keep the raw figures as results/NAME.json")
    options = parser.parse_args(arguments)
    end_on_sigterm()
    about = machine()
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory) / "script.json"
        script.write_text(json.dumps({"delay_s": _DECODE_S}))
        model = ("--provider", "scripted", "--model", str(script))
        most = ("--max-sessions", str(options.sessions), "--wyoming", "0")
        with ServerProcess(*model, *most, module="benchmarks.level_server") as server:
            sides = measure(server, options)
    found, good = report(sides)
    print(found)
    print(f"within {1000 * _LATENCY_GOAL_S:.0f} ms and {_MEMORY_GOAL_MB:.0f} MB: {'yes' if good else 'no'}")
    if options.output:
        raw = {name: {"final_s": side.final_s, "peak_mb": side.peak_mb} for name, side in sides.items()}
        data: dict[str, Any] = {"machine": about, "dialects": raw}
        note(str(save(options.output, data, found)))
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
