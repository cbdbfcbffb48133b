"""HTTP requests that can be given up at any moment, over one connection that is kept.

The standard library's client blocks; so it works in a thread of its own, and is given up by closing its
socket. It was taken since nothing that asrctl depends on brings a client, and one request needs no more.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from asrctl.network.failures import LinkFailure, network_failure, retry_after_s_of
from asrctl.network.hosts import is_loopback
from asrctl.providers.base import Aborted
from asrctl.providers.remote.options import RemoteOptions

_POLL_S = 0.02
"""How often the caller is asked whether it still wants the answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered; the body is not longer than was allowed."""

    status: int
    body: bytes
    retry_after_s: float | None


class Poster:
    """Posts to one server, one request at a time."""

    def __init__(self, url: str, key: str, options: RemoteOptions) -> None:
        """Prepare; nothing is connected yet."""
        self._parts = urlsplit(url)
        self._key = key
        self._options = options
        self._kept: http.client.HTTPConnection | None = None

    def post(self, path: str, content_type: str, body: bytes, should_abort: Callable[[], bool]) -> Answer:
        """Send a body and wait for the answer.

        Raises:
            Aborted: `should_abort` returned True.
            LinkFailure: No answer came.
        """
        headers = {"Content-Type": content_type, "User-Agent": "asrctl", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        kept, self._kept = self._kept, None
        if kept is not None:
            exchange = _Exchange(kept, path, headers, body, self._options)
            try:
                return self._finish(exchange, should_abort)
            except LinkFailure:
                if not exchange.cut:
                    raise
                # the server had closed what was kept, which says nothing about a new connection
        connection = _connection(self._parts, self._options.connect_timeout_s)
        return self._finish(_Exchange(connection, path, headers, body, self._options), should_abort)

    def close(self) -> None:
        """Close the connection that was kept."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _finish(self, exchange: _Exchange, should_abort: Callable[[], bool]) -> Answer:
        answer = exchange.run(should_abort)
        if exchange.reusable:
            self._kept = exchange.connection
        else:
            exchange.connection.close()
        return answer


class _Exchange:
    """One request and its answer."""

    def __init__(
        self,
        connection: http.client.HTTPConnection,
        path: str,
        headers: dict[str, str],
        body: bytes,
        options: RemoteOptions,
    ) -> None:
        self.connection = connection
        self.reusable = False
        self.cut = False
        """Whether the connection was broken before an answer came."""
        self._path = path
        self._headers = headers
        self._body = body
        self._options = options
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._given_up = False
        self._answer: Answer | None = None
        self._failure: LinkFailure | None = None

    def run(self, should_abort: Callable[[], bool]) -> Answer:
        limit_s = self._options.connect_timeout_s + self._options.completion_timeout_s
        deadline_s = time.monotonic() + limit_s
        threading.Thread(target=self._exchange, name="asrctl-request", daemon=True).start()
        while not self._done.wait(_POLL_S):
            if should_abort():
                self._give_up()
                raise Aborted
            if time.monotonic() > deadline_s:
                self._give_up()
                raise LinkFailure("no answer in time")
        if self._failure is not None:
            raise self._failure
        assert self._answer is not None
        return self._answer

    def _give_up(self) -> None:
        """Have the thread end: its socket is closed under it, or once it has one."""
        with self._lock:
            self._given_up = True
            if self._done.is_set():
                self.connection.close()
            elif self.connection.sock is not None:
                with suppress(OSError):
                    self.connection.sock.shutdown(socket.SHUT_RDWR)

    # In the thread

    def _exchange(self) -> None:
        try:
            self._answer = self._ask()
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._failure = _failure(error)
            self.cut = isinstance(error, ConnectionError)
        except LinkFailure as failure:
            self._failure = failure
        finally:
            with self._lock:
                if self._answer is None or self._given_up:
                    self.connection.close()
                self._done.set()

    def _ask(self) -> Answer:
        if self.connection.sock is None:
            self.connection.connect()
        with self._lock:
            if self._given_up:
                raise LinkFailure("given up")
        self.connection.sock.settimeout(self._options.completion_timeout_s)
        self.connection.request("POST", self._path, self._body, self._headers)
        response = self.connection.getresponse()
        most_bytes = self._options.max_message_bytes
        body = response.read(most_bytes + 1)
        if len(body) > most_bytes:
            raise LinkFailure("the server's answer is too long", fatal=True)
        if response.length:  # of which `read` with a limit says nothing
            raise LinkFailure("the connection was lost in the middle of an answer")
        self.reusable = response.isclosed() and not response.will_close
        later = {"Retry-After": response.headers.get("Retry-After", "")}
        return Answer(response.status, body, retry_after_s_of(later))


def _failure(error: Exception) -> LinkFailure:
    if isinstance(error, OSError):
        return network_failure(error)
    return LinkFailure("the server does not answer in HTTP")


def _connection(parts: SplitResult, timeout_s: float) -> http.client.HTTPConnection:
    """A connection that is not made yet: direct, or through the proxy that the environment names for TLS."""
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port or 80, timeout=timeout_s)
    context = ssl.create_default_context()
    proxy = urlsplit("" if is_loopback(host) or proxy_bypass(host) else getproxies().get("https", ""))
    if not proxy.hostname:
        return http.client.HTTPSConnection(host, port or 443, timeout=timeout_s, context=context)
    tunnel = http.client.HTTPSConnection(proxy.hostname, proxy.port or 80, timeout=timeout_s, context=context)
    tunnel.set_tunnel(host, port or 443)
    return tunnel
