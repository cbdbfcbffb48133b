"""Forty clients at once: ten are served as if they were alone, thirty are refused at once.

python -m benchmarks.serve_crowd benchmark-corpus --clients 40 --seconds 30

First ten sessions run alone; then, at a server as fresh as that one, all clients shake hands at the same
moment. Those who are let in play the same talks; what the others were told and when is noted, and they come
again and again while the ten talk. The time of a refusal is from before the TCP connection to the HTTP
answer, as this process sees it, which runs all clients.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from websockets.asyncio.client import ClientConnection

from asrctl.bench.paced import CHUNK_SAMPLES, Talk, latencies
from asrctl.client import ClientOptions
from asrctl.client.inbox import Told
from asrctl.client.link import Link, open_socket
from asrctl.client.replay import ReplayBuffer
from asrctl.network.failures import LinkFailure
from asrctl.protocol.client import ClientOutput, ClientProtocol
from asrctl.transcript import SAMPLE_RATE_HZ
from benchmarks.accuracy import accuracy
from benchmarks.common import half_option, note, table
from benchmarks.serve_process import ServerProcess
from benchmarks.serve_sessions import Listened, levels
from benchmarks.talks import keep, parser, setup_for, spread, talks_of

_PATIENCE_S = 30.0
_GOAL_S = 0.1
_AGAIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """How one handshake was turned away."""

    after_s: float
    reason: str
    retry_after_s: float | None


class Crowd:
    """Clients that shake hands at the same moment."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.refusals: list[Refusal] = []
        self.again: list[Refusal] = []
        self.let_in_later = 0

    async def shake_hands(self, clients: int) -> list[ClientConnection]:
        """All at once; returns the sockets of those who are let in."""
        sockets = await asyncio.gather(*(self._try(self.refusals) for _ in range(clients)))
        return [socket for socket in sockets if socket is not None]

    async def press(self, clients: int) -> None:
        """Those who were refused come again every now and then, until cancelled."""
        while True:
            await asyncio.sleep(_AGAIN_S)
            for socket in await asyncio.gather(*(self._try(self.again) for _ in range(clients))):
                if socket is not None:
                    self.let_in_later += 1
                    await socket.close()

    async def _try(self, refusals: list[Refusal]) -> ClientConnection | None:
        began_s = time.monotonic()
        try:
            return await open_socket(self._url, None, None, _PATIENCE_S, _PATIENCE_S)
        except LinkFailure as failure:
            refusals.append(Refusal(time.monotonic() - began_s, failure.reason, failure.retry_after_s))
            return None


class Guest:
    """A session over a socket that is open already."""

    def __init__(self, socket: ClientConnection, talk: Talk) -> None:
        self.listened = Listened(talk)
        self._protocol = ClientProtocol(ClientOptions().start)
        self._buffer = ReplayBuffer(2)
        self._link = Link(socket, self._protocol, self._buffer, self._tell, _room, lambda: None)

    def _tell(self, news: ClientOutput) -> None:
        if isinstance(news, Told):
            self.listened.events.append((time.monotonic(), news))

    async def talk(self, started_s: float) -> None:
        """Feed at real time, and listen to the end."""
        listening = asyncio.create_task(self._link.run(_PATIENCE_S))
        self.listened.started_s = started_s
        pcm = (self.listened.talk.samples * 32768).clip(-32768, 32767).astype("<i2")
        for at in range(0, len(pcm), CHUNK_SAMPLES):
            await asyncio.sleep(started_s + (at + CHUNK_SAMPLES) / SAMPLE_RATE_HZ - time.monotonic())
            self._buffer.append(pcm[at : at + CHUNK_SAMPLES].tobytes())
            self._link.wake()
        self._link.handle(self._protocol.finish(self._buffer.end))
        try:
            await listening
        except LinkFailure as failure:
            self.listened.error = failure.reason
        self.listened.account = self._protocol.account
        self._buffer.close()


async def _room() -> None:
    """There is always room."""


async def attend(url: str, talks: Sequence[Talk], clients: int) -> tuple[list[Listened], Crowd]:
    """So many clients want in, who play these talks if they are let."""
    crowd = Crowd(url)
    sockets = await crowd.shake_hands(clients)
    guests = [Guest(*pair) for pair in zip(sockets, talks, strict=False)]
    pressing = asyncio.create_task(crowd.press(clients - len(sockets)))
    started_s = time.monotonic() + 0.2
    await asyncio.gather(*(guest.talk(started_s) for guest in guests))
    pressing.cancel()
    await asyncio.gather(pressing, return_exceptions=True)
    return [guest.listened for guest in guests], crowd


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 1 if a goal is missed."""
    options = _options(arguments)
    talks = talks_of(options.corpus, options.places, options.seconds, half=options.half)
    command = ("--model", options.model, "--max-sessions", str(options.places))
    with ServerProcess(*command) as server:
        alone, _ = asyncio.run(attend(server.url, talks, options.places))
    note(f"{len(alone)} alone are done")
    with ServerProcess(*command) as server:
        served, crowd = asyncio.run(attend(server.url, talks, options.clients))
        rejected = server.metrics().get('asrctl_rejected_total{reason="capacity"}', 0.0)
    endpointing = setup_for(options.model).stream.endpointing
    late = [
        latencies([each.talk for each in run], [each.heard for each in run], endpointing).final_s
        for run in (alone, served)
    ]
    same = [pair[0].text == pair[1].text for pair in zip(alone, served, strict=False)]
    rows = _rows(alone, served)
    quickest = [
        max((each.after_s for each in refusals), default=0.0) for refusals in (crowd.refusals, crowd.again)
    ]
    figures = [
        ["clients", options.clients],
        ["served", len(served)],
        ["served with the words they have alone", sum(same)],
        ["refused at once", len(crowd.refusals)],
        ["refused within ms, at most", round(1000 * quickest[0])],
        ["refused later within ms, at most", round(1000 * quickest[1])],
        ["final after the end of speech alone, p50 / p95 s", spread(late[0])],
        ["final in the crowd, p50 / p95 s", spread(late[1])],
    ]
    print(f"ladder: alone {levels(alone) or 0}, in the crowd {levels(served) or 0}")
    good = _report(crowd, options.clients - options.places)
    print(f"refusals that the server counted: {rejected:.0f}")
    keep(
        options,
        {
            "rows": rows,
            "refusals_s": [each.after_s for each in crowd.refusals],
            "again_s": [each.after_s for each in crowd.again],
            "final_s": {"alone": late[0], "crowd": late[1]},
        },
        table(["figure", "value"], figures),
        table(["session", "WER alone %", "WER in the crowd %", "between them %", "to the sample"], rows),
    )
    return int(not good or len(served) != options.places or not all(each.balances for each in served))


def _rows(alone: Sequence[Listened], served: Sequence[Listened]) -> list[list[Any]]:
    return [
        [
            number,
            accuracy(one.talk.text or "", one.text).wer_percent,
            accuracy(two.talk.text or "", two.text).wer_percent,
            accuracy(one.text, two.text).wer_percent,
            str(one.balances and two.balances),
        ]
        for number, (one, two) in enumerate(zip(alone, served, strict=False))
    ]


def _report(crowd: Crowd, expected: int) -> bool:
    """Print how they were refused; whether that is as it should be."""
    for name, refusals in (("at once", crowd.refusals), ("while the ten talk", crowd.again)):
        times = [each.after_s for each in refusals] or [0.0]
        print(
            f"refused {name}: {len(refusals)}; ms: median {1000 * median(times):.0f}, "
            f"most {1000 * max(times):.0f} (goal: below {1000 * _GOAL_S:.0f})"
        )
    answers = sorted({(each.reason, each.retry_after_s or 0.0) for each in crowd.refusals})
    print("told: " + "; ".join(f"{reason}, Retry-After {after_s:.0f}" for reason, after_s in answers))
    named = all(each.retry_after_s is not None for each in crowd.refusals)
    quick = max((each.after_s for each in crowd.refusals), default=0.0) < _GOAL_S
    return len(crowd.refusals) == expected and named and quick


def _options(arguments: list[str] | None) -> Any:
    made = parser("serve_crowd", __doc__)
    half_option(made)
    made.add_argument("--clients", type=int, default=40, help="who want in")
    made.add_argument("--places", type=int, default=10, help="how many the server lets in")
    made.add_argument("--seconds", type=float, default=30.0, help="length of each talk")
    return made.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
