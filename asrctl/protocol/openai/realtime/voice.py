"""What the server says on one socket: events, numbered."""

from __future__ import annotations

import json

from asrctl.protocol.dialect import SendText


class Voice:
    """Makes events."""

    def __init__(self, session_id: str) -> None:
        """Ids of events are made of the session's."""
        self._prefix = f"event_{session_id.removeprefix('sess_')}"
        self._events = 0

    def say(self, kind: str, **fields: object) -> SendText:
        """An event of a type and its fields."""
        self._events += 1
        event = {"type": kind, "event_id": f"{self._prefix}_{self._events}", **fields}
        return SendText(json.dumps(event, allow_nan=False))

    def error(
        self,
        code: str,
        message: str,
        cause: str | None = None,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
    ) -> SendText:
        """What is wrong, and with which event of the client, if it was one."""
        error = {"type": kind, "code": code, "message": message, "param": param, "event_id": cause}
        return self.say("error", error=error)
