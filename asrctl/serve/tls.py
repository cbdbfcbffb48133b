"""Certificates, looked at before anything is started: what is wrong with them is said in words."""

from __future__ import annotations

import ssl
from pathlib import Path

from asrctl.errors import UsageError


def check_certificate(certificate: Path, private_key: Path | None) -> None:
    """See whether a server can use a certificate.

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
        raise UsageError(f"cannot use the key {key}: it has a pass phrase, which nobody is there to give")

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, refuse)
    except ssl.SSLError as error:
        raise UsageError(f"cannot use the certificate {certificate}: {_reason(error, key)}") from error


def _reason(error: ssl.SSLError, key: Path) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"{key} is the key of another"
    return f"PEM of a certificate is wanted there, and PEM of its key in {key}"
