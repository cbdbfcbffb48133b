"""The events of a group of sessions at a server, which is waited for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlsplit

from asrctl.errors import UsageError
from asrctl.network.answers import presentable, said_by
from asrctl.network.failures import network_failure
from asrctl.network.retry import PATIENCE_S

_SILENT_S = 60.0
"""A server says that it is there far more often."""
_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 5.0
"""Between two attempts to reach one, at first and at most."""
_LEAST_S = 0.1
"""The last attempt has so long at least."""
_MOST_BYTES = 1 << 16
"""Of a refusal."""
_SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}


class _Refused(ConnectionError):
    """The server does not give what is asked for, and would say so again."""


class _NotNow(ConnectionError):
    """The server has no place, or is not ready."""


def events_url(server: str | None, group: str) -> str:
    """Where a group's events are.

    Raises:
        UsageError: There is no address, or it is none.
    """
    parts = urlsplit(server or "")
    if not parts.hostname or parts.scheme not in _SCHEMES:
        raise UsageError("--subscribe needs the address of a server: --server ws://127.0.0.1:8765")
    return f"{_SCHEMES[parts.scheme]}://{parts.netloc}/v1/groups/{quote(group, safe='')}/events"


def group_events(
    url: str, api_key: str | None, wait_s: float | None, inform: Callable[[str], None]
) -> Iterator[Mapping[str, Any]]:
    """Events until the group ends; that its server is waited for is said to `inform`.

    Raises:
        OSError: The server cannot be reached, refuses, or is gone.
        HTTPException: It does not speak HTTP.
        ValueError: It says something else than JSON.
    """
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    with closing(kind(parts.netloc.rpartition("@")[2])) as connection:
        for line in _first_answer(connection, parts.path, headers, wait_s, inform):
            if line.startswith(b"data: "):
                said = json.loads(line[6:])
                if said["type"] == "done":
                    return
                yield said
    raise ConnectionError("the server ended before the group did")


def _first_answer(
    connection: HTTPConnection,
    path: str,
    headers: Mapping[str, str],
    wait_s: float | None,
    inform: Callable[[str], None],
) -> HTTPResponse:
    """The answer of a server that is there; one that is not, or not ready, is waited for.

    Raises:
        OSError: It refuses, or was given up.
    """
    patience_s, pause_s = PATIENCE_S if wait_s is None else wait_s, _PAUSE_S
    until_s, told = time.monotonic() + patience_s, False
    while True:
        left_s = until_s - time.monotonic()
        try:
            return _answer(connection, path, headers, max(left_s, _LEAST_S) if patience_s else _SILENT_S)
        except OSError as error:
            left_s = until_s - time.monotonic()
            if isinstance(error, _Refused) or network_failure(error).fatal:
                raise
            if left_s <= 0:
                advice = f"; gave up after {patience_s:g} s (--wait-for-server waits longer)"
                raise ConnectionError(f"{reason_of(error)}{advice if patience_s else ''}") from None
            if not told:
                told = True
                inform(f"asrctl: waiting for the server: {reason_of(error)}")
        time.sleep(min(pause_s, left_s))
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _answer(
    connection: HTTPConnection, path: str, headers: Mapping[str, str], timeout_s: float
) -> HTTPResponse:
    """The answer to one request.

    Raises:
        OSError: There is none, or it is a refusal.
    """
    connection.close()
    connection.timeout = timeout_s
    connection.connect()
    socket = connection.sock
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    if answer.status != 200:
        kind_of_body = {"Content-Type": answer.getheader("Content-Type", "")}
        said = said_by(answer.reason, kind_of_body, answer.read(_MOST_BYTES))
        kind = _NotNow if answer.status == 503 else _Refused
        told = f"the server refuses: {answer.status} {answer.reason}{': ' if said else ''}{said}"
        raise kind(presentable(told, headers.get("Authorization", "").removeprefix("Bearer ")))
    socket.settimeout(_SILENT_S)
    return answer


def reason_of(error: Exception) -> str:
    """Why there are no events, or no more, in words."""
    # Only the system's errors have a number, and what is out of time none.
    if isinstance(error, TimeoutError) or (isinstance(error, OSError) and error.errno is not None):
        return network_failure(error).reason
    return str(error)
