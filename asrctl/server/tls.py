"""Certificates, looked at before anything is started, and how long a handshake with them may take."""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path
from typing import Any

from asrctl.errors import UsageError

if sys.platform == "win32":
    _EventLoop = asyncio.ProactorEventLoop
else:
    _EventLoop = asyncio.SelectorEventLoop


class HandshakeLoop(_EventLoop):
    """An event loop that bounds the handshakes of TLS, for which uvicorn has no setting."""

    def __init__(self, timeout_s: float) -> None:
        """Make one.

        Args:
            timeout_s: A connection that takes longer is cut; by itself asyncio gives each a minute.
        """
        super().__init__()
        self._timeout_s = timeout_s

    async def create_server(self, *args: Any, **options: Any) -> asyncio.Server:
        """Listen, as any event loop does."""
        if options.get("ssl"):
            options.setdefault("ssl_handshake_timeout", self._timeout_s)
        return await super().create_server(*args, **options)


def check_certificate(certificate: Path, private_key: Path | None) -> None:
    """See whether a server can use a certificate; what is wrong with it is said in words.

    Args:
        certificate: PEM file of the chain.
        private_key: PEM file of its key; None if that is in `certificate`.

    Raises:
        UsageError: It cannot; the message names the file.
    """
    key = private_key or certificate
    for path in (certificate, key):
        try:
            path.read_bytes()
        except OSError as error:
            raise UsageError(f"cannot use the certificate {certificate}: {path}: {error.strerror}") from error

    def refuse() -> str:
        raise UsageError(f"cannot use the key {key}: it is encrypted; passphrases are not supported")

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, refuse)
    except ssl.SSLError as error:
        raise UsageError(f"cannot use the certificate {certificate}: {_reason(error, key)}") from error


def _reason(error: ssl.SSLError, key: Path) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"private key {key} does not match it"
    return f"expected a PEM certificate there and its PEM key in {key}"
