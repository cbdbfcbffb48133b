"""Opening a WebSocket to a server of somebody else."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from asrctl.client.failures import MAPPED, link_failure
from asrctl.network.failures import LinkFailure
from asrctl.network.hosts import is_loopback

if TYPE_CHECKING:
    from asrctl.providers.remote.address import Address
    from asrctl.providers.remote.options import RemoteOptions

_CLOSE_TIMEOUT_S = 0.5
_TOO_BIG = 1009
_FATAL_CODES = frozenset({3000, 3003})
"""IANA's "unauthorized" and "forbidden"."""
_FATAL_REASON = "invalid_request_error"
"""How OpenAI's close reasons begin where the client is at fault."""

_log = logging.getLogger(__name__)
_log.setLevel(logging.INFO)  # at DEBUG the library writes each header, and with them the key


async def open_socket(address: Address, key: str, options: RemoteOptions) -> ClientConnection:
    """Connect; certificates are checked as the platform does.

    Raises:
        LinkFailure: Whatever went wrong.
    """
    try:
        return await connect(
            address.url,
            compression=None,  # audio in base64 shrinks, but at a cost for both ends
            additional_headers={"Authorization": f"Bearer {key}"} if key else None,
            user_agent_header="asrctl",
            proxy=None if is_loopback(address.host) else True,
            open_timeout=options.connect_timeout_s,
            ping_interval=options.keepalive_s,
            ping_timeout=options.keepalive_s,
            close_timeout=_CLOSE_TIMEOUT_S,
            max_size=options.max_message_bytes,
            logger=_log,
        )
    except MAPPED as error:
        raise link_failure(error) from None


def closed(error: ConnectionClosed) -> LinkFailure:
    """What it means that the socket was closed."""
    if error.sent is not None and error.sent.code == _TOO_BIG and not error.rcvd_then_sent:
        return LinkFailure("the server sends messages that are too long")
    failure = link_failure(error)
    if error.rcvd is not None:
        refused = error.rcvd.code in _FATAL_CODES or error.rcvd.reason.startswith(_FATAL_REASON)
        failure.fatal = failure.fatal or refused
    return failure
