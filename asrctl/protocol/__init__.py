"""The wire protocol `asrctl.v1` without I/O: messages, their JSON, and a state machine for each side.

asrctl/server/PROTOCOL.md tells what goes over the wire. Neither side here has sockets, threads or a clock of
its own: frames go in, frames to send and events come out, so that any order of things can be tested.
"""

from asrctl.protocol.client import ClientOutput, ClientProtocol, ClientState, Opened, SendAudio
from asrctl.protocol.codec import decode_client, decode_server, encode
from asrctl.protocol.codes import SUBPROTOCOL, CloseCode, Violation
from asrctl.protocol.endpointing import Endpointing
from asrctl.protocol.fields import Misfit
from asrctl.protocol.log import EventLog
from asrctl.protocol.messages import (
    SAMPLE_BYTES,
    AudioAck,
    AudioFormat,
    ClientMessage,
    Done,
    Dropped,
    Error,
    EventAck,
    Final,
    Finish,
    Flush,
    GoAway,
    KeptMessage,
    Limits,
    Metrics,
    Partial,
    Ready,
    Resume,
    ServerMessage,
    Skip,
    SpeechEnded,
    SpeechStarted,
    Start,
    Status,
    WireWord,
)
from asrctl.protocol.server import (
    MAX_SKIP_S,
    Audio,
    Close,
    Send,
    ServerOutput,
    ServerProtocol,
    ServerState,
)
from asrctl.protocol.session import ServerSession
from asrctl.protocol.speakers import Speaker, SpeakersLost

__all__ = [
    "MAX_SKIP_S",
    "SAMPLE_BYTES",
    "SUBPROTOCOL",
    "Audio",
    "AudioAck",
    "AudioFormat",
    "ClientMessage",
    "ClientOutput",
    "ClientProtocol",
    "ClientState",
    "Close",
    "CloseCode",
    "Done",
    "Dropped",
    "Endpointing",
    "Error",
    "EventAck",
    "EventLog",
    "Final",
    "Finish",
    "Flush",
    "GoAway",
    "KeptMessage",
    "Limits",
    "Metrics",
    "Misfit",
    "Opened",
    "Partial",
    "Ready",
    "Resume",
    "Send",
    "SendAudio",
    "ServerMessage",
    "ServerOutput",
    "ServerProtocol",
    "ServerSession",
    "ServerState",
    "Skip",
    "Speaker",
    "SpeakersLost",
    "SpeechEnded",
    "SpeechStarted",
    "Start",
    "Status",
    "Violation",
    "WireWord",
    "decode_client",
    "decode_server",
    "encode",
]
