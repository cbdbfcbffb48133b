"""The smallest dialect: a word asks for something, each event is its name and what it says."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import PlainTextResponse, Response

from asrctl import events
from asrctl.policy.admission import Refusal
from asrctl.protocol.dialect import (
    CloseSocket,
    DialectOutput,
    Discard,
    Feed,
    Finish,
    Flush,
    Note,
    Open,
    SendBytes,
    SendText,
    SessionRequest,
)
from asrctl.server.dialects.door import Handshake, Welcome
from asrctl.server.gate import Denial


class Plain:
    """Words in, words out; binary frames are audio."""

    def __init__(self, request: SessionRequest) -> None:
        self._request = request
        self._leaving = False

    def opened(self) -> list[DialectOutput]:
        return [SendText("hello"), SendBytes(b"hello")]

    def receive_text(self, text: str) -> list[DialectOutput]:
        asked: dict[str, DialectOutput] = {
            "open": Open(self._request),
            "flush": Flush(),
            "discard": Discard("unwanted"),
            "discard open": Discard("unwanted", open_only=True),
            "finish": Finish(),
            "bye": CloseSocket(1000, "bye"),
            "note": Note("noted", {"what": "this"}),
            "much": SendText("x" * (1 << 18)),
            "little": SendText("little", droppable=True),
        }
        if text == "break":
            raise RuntimeError("a mistake")
        return [asked[text], SendText(f"did {text}")]

    def receive_binary(self, data: bytes) -> list[DialectOutput]:
        return [Feed(data)]

    def hear(self, event: events.Event) -> list[DialectOutput]:
        said = [SendText(_said(event), droppable=isinstance(event, events.Partial))]
        if self._leaving and isinstance(event, events.Flushed):
            return [*said, CloseSocket(1012, "restart"), SendText("never")]
        return [*said]

    def refused(self, refusal: Refusal) -> list[DialectOutput]:
        return [SendText(f"refused: {refusal.reason}")]

    def failed(self, reason: str) -> list[DialectOutput]:
        return [SendText(f"failed: {reason}")]

    def going_away(self) -> list[DialectOutput]:
        self._leaving = True
        return [SendText("going away"), Flush()]

    def ended(self) -> list[DialectOutput]:
        return [SendText("ended"), CloseSocket(1012, "restart")]

    def check_time(self) -> list[DialectOutput]:
        return []


def _said(event: events.Event) -> str:
    match event:
        case events.Final():
            return f"Final {event.segment.text}"
        case events.Finished():
            account = event.account
            seconds = (account.received_samples, account.dropped_samples)
            return "Finished {} {}".format(*seconds)
        case events.Dropped():
            return f"Dropped {event.reason}"
        case _:
            return type(event).__name__


class PlainEntrance:
    """`/plain`: whoever says who they are may come in."""

    name = "plain"
    paths: tuple[str, ...] = ("/plain",)
    max_message_bytes: int | None = 4 << 20

    def __init__(self, **request: object) -> None:
        self._request = SessionRequest(**request)  # type: ignore[arg-type]

    def keys(self, handshake: Handshake) -> Sequence[str]:
        return handshake.subprotocols[1:]

    def greet(self, handshake: Handshake, denial: Denial | None) -> Welcome | Denial:
        if denial is not None:
            return denial
        return Welcome(Plain(self._request), next(iter(handshake.subprotocols), None), {"x-plain": "yes"})

    def deny(self, denial: Denial) -> Response:
        return PlainTextResponse(f"no: {denial.message}", denial.status, dict(denial.headers))
