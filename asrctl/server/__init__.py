"""The server: a shell of sockets around the wire protocol and the engine. See PROTOCOL.md for the wire."""
