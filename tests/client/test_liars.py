"""Servers that lie, stall or say too much: an error in seconds that names the fault, and no audio lost."""

from __future__ import annotations

import asyncio
import json
import re
import wave
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from asrctl.client import Client, ClientOptions, Phase
from asrctl.errors import ServerError
from asrctl.protocol.codec import encode
from asrctl.protocol.codes import SUBPROTOCOL
from asrctl.protocol.messages import Limits, Ready
from tests.client.clients import run
from tests.client.liar import READY, Lie, saying
from tests.client.server import ScriptedServer, Stall, sound

SAMPLES = 8000


async def told(url: str, options: ClientOptions, *, finish: bool = True) -> ServerError:
    """The error in which a client ends that has some audio for the server."""
    async with Client(url, options) as client:
        client.feed(sound(0, SAMPLES))
        if finish:
            client.finish()
        with pytest.raises(ServerError) as caught:
            async for _ in client:
                pass
        assert client.state.phase is Phase.GAVE_UP
    return caught.value


def saved(error: ServerError) -> int:
    """How many samples are in the file that the error names."""
    found = re.search(r"kept in (\S+\.wav)$", str(error))
    assert found is not None, str(error)
    with wave.open(found[1]) as wav:
        return wav.getnframes()


def final(**more: object) -> Lie:
    """A final for the first tenth of a second, but for what is given."""
    said = {"utterance": 0, "start_s": 0.0, "end_s": 0.1, "text": "x", "confidence": 1.0, "id": 1}
    return {"type": "final", **said, "from": 0, "to": 1600, **more}


DONE = {"received_s": 0.5, "speech_s": 0.5, "silence_s": 0, "dropped_s": 0, "last_event_id": 1, "id": 1}


@pytest.mark.parametrize(
    "lie",
    [
        final(to=10**12),
        final(to=SAMPLES + 1),
        final(**{"from": 1600, "to": 0}),
        {"type": "dropped", "from": 0, "to": 10**12, "reason": "x", "id": 1},
        {"type": "ack", "received": SAMPLES, "committed": 10**12},
        {"type": "ack", "received": 10**12, "committed": 0},
        {"type": "ack", "received": 0, "committed": 800},
        {"type": "done", "audio_offset": 10**12, **DONE},
        {"type": "done", "audio_offset": 0, **DONE},
        {"type": "final", "text": 3},
        encode(READY),
        "[" * 100_000,
        "{}",
        b"binary",
    ],
    ids=lambda lie: str(lie)[:60],
)
def test_lies(lie: Lie | str | bytes, tmp_path: Path) -> None:
    """A server that breaks the protocol is given up at once; all the audio that was fed is in a file."""

    async def main() -> ServerError:
        async with saying(lie) as url:
            return await told(url, ClientOptions(salvage_dir=tmp_path))

    error = run(main())
    assert "the server does not keep to asrctl.v1: " in str(error)
    assert error.__cause__ is None, "it is no fault of this side's"
    assert saved(error) == SAMPLES


@pytest.mark.parametrize("iterated", [True, False])
def test_fed_when_all_is_over(tmp_path: Path, iterated: bool) -> None:
    """Audio fed until it is told that the server was given up is saved too."""

    async def main() -> None:
        async with saying("{}") as url, Client(url, ClientOptions(salvage_dir=tmp_path)) as client:
            client.feed(sound(0, SAMPLES))
            await client.wait_unsent_below(0)  # so until nothing will be sent any more
            client.feed(sound(SAMPLES, 2 * SAMPLES))
            if iterated:
                for _ in range(2):
                    with pytest.raises(ServerError, match="kept in"):
                        async for _ in client:
                            pass

    run(main())
    (kept,) = tmp_path.iterdir()
    with wave.open(str(kept)) as wav:
        assert wav.getnframes() == 2 * SAMPLES


def test_a_lie_after_some_truth(tmp_path: Path) -> None:
    """What was answered for is not saved again."""

    async def main() -> ServerError:
        async with saying(final(), final(id=2, to=10**12)) as url:
            return await told(url, ClientOptions(salvage_dir=tmp_path))

    assert saved(run(main())) == SAMPLES - 1600


@pytest.mark.parametrize(
    "truth",
    [[], [final()], [final(to=SAMPLES)], [{"type": "ack", "received": SAMPLES, "committed": SAMPLES}]],
)
def test_never_done(truth: list[Lie], tmp_path: Path) -> None:
    """A server that answers pings and never says `done` is waited for as long as was set, and not longer."""

    async def main() -> ServerError:
        async with saying(*truth) as url:
            return await told(url, ClientOptions(finish_timeout_s=0.3, salvage_dir=tmp_path))

    error = run(main())
    assert re.search(
        r"did not finish: (it answered for nothing more|`done` did not come) in 0.3 s", str(error)
    )
    left = SAMPLES - max((each.get("to", each.get("committed", 0)) for each in truth), default=0)
    assert not left or saved(error) == left


def test_done_needs_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once everything is answered for, `done` is not waited for as long as the answers would have been."""
    monkeypatch.setattr("asrctl.client.finishing._DONE_S", 0.2)

    async def main() -> ServerError:
        async with saying(final(to=SAMPLES)) as url:
            return await told(url, ClientOptions(finish_timeout_s=1000.0))

    assert "the server did not finish: `done` did not come in 0.2 s" in str(run(main()))


def test_time_for_the_rest_is_counted_over_links(tmp_path: Path) -> None:
    """A server that cuts the link before its time is over has no more of it afterwards."""

    async def main() -> tuple[ServerError, int]:
        links = 0

        async def cut(socket: ServerConnection) -> None:
            nonlocal links
            links += 1
            await socket.recv()
            received = 0 if links == 1 else SAMPLES
            await socket.send(encode(Ready("id", "t", received, 60.0, 1_000_000, Limits(), "m", "p", 0)))
            await asyncio.sleep(0.2)
            socket.transport.abort()

        async def sleep(_: float) -> None:
            await asyncio.sleep(0)

        async with serve(cut, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)]) as server:
            url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            client = Client(url, ClientOptions(finish_timeout_s=0.5, salvage_dir=tmp_path), sleep=sleep)
            async with client:
                client.feed(sound(0, SAMPLES))
                client.finish()
                with pytest.raises(ServerError) as caught:
                    async for _ in client:
                        pass
        return caught.value, links

    error, links = run(main())
    assert "did not finish" in str(error)
    assert links in (3, 4)
    assert saved(error) == SAMPLES


def test_a_server_that_gets_on_with_it() -> None:
    """Each answer gives it the whole time again: slow is not silent."""

    async def main() -> Phase:
        answers = [final(utterance=n, id=n + 1, **{"from": 800 * n, "to": 800 * n + 800}) for n in range(10)]

        async def slow(socket: ServerConnection) -> None:
            await socket.recv()
            await socket.send(encode(READY))
            while '"finish"' not in str(await socket.recv()):
                pass
            for answer in answers:
                await asyncio.sleep(0.1)
                await socket.send(json.dumps(answer))
            await socket.send(json.dumps({"type": "done", "audio_offset": SAMPLES, **DONE, "id": 11}))
            await socket.wait_closed()

        async with serve(slow, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)]) as server:
            url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            async with Client(url, ClientOptions(finish_timeout_s=0.6)) as client:
                client.feed(sound(0, SAMPLES))
                client.finish()
                async for _ in client:
                    pass
                return client.state.phase

    assert run(main()) is Phase.DONE


def test_an_answer_makes_up_for_what_was_before_a_cut() -> None:
    """A server that was slow over one link and answers over the next has the whole time again."""

    async def main() -> Phase:
        links = 0

        async def late(socket: ServerConnection) -> None:
            nonlocal links
            links += 1
            await socket.recv()
            await socket.send(encode(replace(READY, audio_offset=0 if links == 1 else SAMPLES)))
            while '"finish"' not in str(await socket.recv()):
                pass
            if links == 1:
                await asyncio.sleep(0.6)
                socket.transport.abort()
                return
            await socket.send(json.dumps(final()))
            await asyncio.sleep(0.6)
            await socket.send(json.dumps({"type": "done", "audio_offset": SAMPLES, **DONE, "id": 2}))
            await socket.wait_closed()

        async def sleep(_: float) -> None:
            await asyncio.sleep(0)

        async with serve(late, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)]) as server:
            url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            async with Client(url, ClientOptions(finish_timeout_s=1.0), sleep=sleep) as client:
                client.feed(sound(0, SAMPLES))
                client.finish()
                async for _ in client:
                    pass
                return client.state.phase

    assert run(main()) is Phase.DONE


def test_silence_before_the_end_is_nobodys_fault() -> None:
    """While more audio may come there is nothing to be late with."""

    async def main() -> Phase:
        async with saying() as url, Client(url, ClientOptions(finish_timeout_s=0.05)) as client:
            client.feed(sound(0, SAMPLES))
            while client.unsent_samples or client.state.phase is Phase.CONNECTING:
                await asyncio.sleep(0)
            await asyncio.sleep(0.2)
            return client.state.phase

    assert run(main()) is Phase.LIVE


def test_escapes_in_what_a_server_says() -> None:
    """Its words reach the error without what would command a terminal."""

    async def main() -> ServerError:
        async def refuse(socket: ServerConnection) -> None:
            await socket.recv()
            message = "no\x1b]0;pwned\x07 \u202eevil"
            await socket.send(json.dumps({"type": "error", "code": "bad_request", "message": message}))
            await socket.close(4400)

        async with serve(refuse, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)]) as server:
            url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            return await told(url, ClientOptions(salvage=False))

    message = str(run(main()))
    assert "the server says: no\ufffd]0;pwned\ufffd evil" in message
    assert message.isprintable()


def test_messages_without_end(tmp_path: Path) -> None:
    """A message longer than any that makes sense ends the session, once."""

    async def main() -> ServerError:
        async with saying("x" * (9 << 20)) as url:
            return await told(url, ClientOptions(salvage_dir=tmp_path))

    error = run(main())
    assert "the server sends messages that are too long" in str(error)
    assert saved(error) == SAMPLES


def test_messages_of_no_length(tmp_path: Path) -> None:
    """A server that takes no messages as long as a frame would stop the client for ever."""
    ready = Ready("id", "token", 0, 60.0, 1_000_000, Limits(max_message_bytes=1), "model", "provider", 0)

    async def main() -> ServerError:
        async with saying(ready=ready, patient=False) as url:
            return await told(url, ClientOptions(salvage_dir=tmp_path))

    error = run(main())
    assert "it takes no messages as long as one frame" in str(error)
    assert saved(error) == SAMPLES


def test_an_idle_time_of_nothing() -> None:
    """It does not make the client flood the server with signs of life."""

    async def main() -> int:
        server = ScriptedServer(limits=Limits(idle_timeout_s=0.0))
        async with server.running(), Client(server.url):
            while len(server.said_by_clients) < 2:
                await asyncio.sleep(0.001)
            before = len(server.said_by_clients)
            await asyncio.sleep(0.3)
            return len(server.said_by_clients) - before

    assert run(main()) <= 7


def test_our_own_faults_lose_no_audio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in the client ends in an error like any other, which carries its cause."""

    async def main() -> ServerError:
        async with ScriptedServer([Stall(0)]).running() as server:
            return await told(server.url, ClientOptions(salvage_dir=tmp_path))

    def broken(*_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("asrctl.client.link.Link.handle", broken)
    error = run(main())
    assert "the client failed: oops" in str(error)
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert saved(error) == SAMPLES
