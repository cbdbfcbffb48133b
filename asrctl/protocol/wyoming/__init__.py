"""Wyoming, which Home Assistant speaks to speech services over TCP: its framing, and the server's side of it.

Pure: bytes in, bytes and requests out. `asrctl.server.dialects.wyoming` has the socket.
"""
