"""A client that survives bad networks: `Client` feeds a server audio and gives back what it hears.

The audio waits in a bounded buffer until the server answers for it; lost connections are made again and the
session is resumed, or begun anew where the server left off, so that each word comes once and none is missing.
"""

from asrctl.client.client import Client
from asrctl.client.inbox import Event
from asrctl.client.options import ClientOptions
from asrctl.client.replay import BufferOptions
from asrctl.client.state import Phase, State

__all__ = ["BufferOptions", "Client", "ClientOptions", "Event", "Phase", "State"]
