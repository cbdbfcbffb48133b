"""Deepgram's `/v1/listen`: live audio over a WebSocket, and recordings over HTTP.

Pure: no input, no output, no clock of its own. `asrctl.server` has the shells.
"""
