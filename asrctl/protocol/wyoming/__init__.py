"""Wyoming, which Home Assistant speaks to speech services over TCP: its framing, and the server's side of it.

Pure: bytes in, bytes and requests out. `asrctl.server.wyoming` has the socket.
"""

from asrctl.protocol.wyoming.dialect import WyomingDialect
from asrctl.protocol.wyoming.framing import EventReader, FramingError, WyomingEvent, encode
from asrctl.protocol.wyoming.info import ServedModel

__all__ = ["EventReader", "FramingError", "ServedModel", "WyomingDialect", "WyomingEvent", "encode"]
