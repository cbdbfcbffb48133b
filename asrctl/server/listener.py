"""What listens: the port, uvicorn without its own idea of signals, and its bounds on connections."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from asrctl.errors import AsrctlError
from asrctl.server.connection_limiter import ConnectionLimiter
from asrctl.server.options import ServeOptions
from asrctl.server.sockets import protocols
from asrctl.server.tls import check_certificate

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_PING_S = 20.0
_CLOSE_S = 2
_BACKLOG = 128
"""Connections that the system holds until they are accepted; also how often asyncio tries to accept one in a
row, and so how often it fails at once when no descriptor is left."""


class Listener(uvicorn.Server):
    """Uvicorn, whose signals are ours: it would close sockets before anything is final."""

    def __init__(self, options: ServeOptions, app: ASGIApp, limiter: ConnectionLimiter) -> None:
        """Prepare.

        Raises:
            UsageError: The certificate cannot be used.
        """
        if options.certificate is not None:
            check_certificate(options.certificate, options.private_key)
        http, web_socket = protocols(limiter)
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http=http,
            ws=web_socket,
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            backlog=_BACKLOG,
            ws_max_size=options.limits.max_message_bytes,
            ws_per_message_deflate=False,
            ws_ping_interval=_PING_S,
            ws_ping_timeout=_PING_S,
            timeout_graceful_shutdown=_CLOSE_S,
            ssl_certfile=options.certificate,
            ssl_keyfile=options.private_key,
        )
        config.load()
        super().__init__(config)
        self.stop: Callable[[], None] = lambda: None
        """Called at a signal."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Take SIGHUP as SIGTERM, too, unless it is ignored."""
        hang_up: signal.Signals | None = getattr(signal, "SIGHUP", None)  # Windows has none
        is_main = threading.current_thread() is threading.main_thread()  # others take no signals
        before = signal.getsignal(hang_up) if hang_up and is_main else signal.SIG_IGN
        with super().capture_signals(), contextlib.ExitStack() as restored:
            if hang_up and before is not signal.SIG_IGN:
                signal.signal(hang_up, self.handle_exit)
                restored.callback(signal.signal, hang_up, before)
            yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came."""
        self.stop()


def bound(host: str, port: int, option: str = "--port") -> socket.socket:
    """A socket that listens; `option` is how another port can be had.

    Raises:
        AsrctlError: The port cannot be had.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise AsrctlError(f"cannot listen on {host}:{port}: {_reason(error, option)}") from error


def _reason(error: OSError, option: str) -> str:
    """The system's words, without what asyncio and `socket` add to them."""
    if error.errno == errno.EADDRINUSE:
        return f"another program has the port; {option} 0 takes a free one"
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or str(error)
    return os.strerror(error.errno).lower()
