"""Servers that recognise speech: OpenAI's realtime dialect, vLLM's, plain HTTP, and another asrctl.

`RemoteOptions` say which. Their `is_windowed` decides what is made of them: `RemoteModel`, which is fed a
stream, or `RemoteWindows`, which is given windows. Both are imported from their modules, when needed.
"""

from asrctl.providers.remote.options import RemoteOptions

__all__ = ["RemoteOptions"]
