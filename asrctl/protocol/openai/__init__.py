"""OpenAI's HTTP interface for files, and two others that ask for the same: forms in, answers out.

Pure: no input, no output, nothing installed. `asrctl.server.files` has the shells.
"""
