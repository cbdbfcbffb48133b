"""What a client asks for, and how far it goes to get it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from asrctl.client.replay import BufferOptions
from asrctl.policy.backoff import BackoffOptions
from asrctl.policy.breaker import BreakerOptions
from asrctl.protocol.endpointing import Endpointing
from asrctl.protocol.messages import AudioFormat, Start
from asrctl.transcript import SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """What to ask the server for, and how far to go to get it.

    Attributes:
        source: Whose audio it is, "mic" or "system": under load, "system" waits for "mic".
        language: A code such as "en", or "auto".
        model: The model wanted; None for the server's.
        prompt: Text that sets names and style.
        vocabulary: Terms that the audio is likely to hold; older servers refuse them.
        partials: Whether partials are wanted.
        words: Whether finals shall carry the times of their words.
        metrics: Whether the server shall tell once a second how the session stands.
        endpointing: How utterances are to be cut; None for the server's way, which all servers know.
        partial_interval_s: New audio between partials; None for the server's choice.
        group: Sessions of one name belong together; None for none. Older servers refuse it.
        speaker: Who is heard; None if that is unknown. Older servers refuse it.
        speakers: Whether speakers are to be told apart by voice, or how many there are at most; None for not.
            Servers that cannot refuse it.
        api_key: Proves that the client may use the server.
        backoff: Attempts, and the waits between them.
        breaker: When the server is left alone for longer.
        buffer: How much audio is held meanwhile.
        wait_for_server_s: How long a server is waited for until it is ready for the first time, whether it
            does not answer, is full or loads its model; None for 5 s if it has never answered, and `backoff`
            if it has; 0 for `backoff` alone.
        finish_timeout_s: How long the server may answer for nothing more once the audio has ended.
        connect_timeout_s: For the handshake, and again for the server to be ready.
        keepalive_s: A ping is sent so often, and the link is lost if it is not answered for as long.
        salvage: Whether audio that no server took is saved when the server is given up; None for audio that
            is fed, and not for a `source`, which has it still.
        salvage_dir: Where audio is saved that no server took; None for the system's temporary directory.
    """

    source: str = "mic"
    language: str = "auto"
    model: str | None = None
    prompt: str = ""
    vocabulary: tuple[str, ...] = ()
    partials: bool = True
    words: bool = False
    metrics: bool = False
    endpointing: Endpointing | None = None
    partial_interval_s: float | None = None
    group: str | None = None
    speaker: str | None = None
    speakers: bool | int | None = None
    api_key: str | None = None
    backoff: BackoffOptions = field(default_factory=BackoffOptions)
    breaker: BreakerOptions = field(default_factory=BreakerOptions)
    buffer: BufferOptions = field(default_factory=BufferOptions)
    wait_for_server_s: float | None = None
    finish_timeout_s: float = 300.0
    connect_timeout_s: float = 10.0
    keepalive_s: float = 10.0
    salvage: bool | None = None
    salvage_dir: Path | None = None

    @property
    def start(self) -> Start:
        """What is said to the server at the beginning of a session."""
        return Start(
            AudioFormat("pcm_s16le", SAMPLE_RATE_HZ, 1),
            source=self.source,
            language=self.language,
            model=self.model,
            prompt=self.prompt,
            partials=self.partials,
            words=self.words,
            metrics=self.metrics,
            endpointing=self.endpointing,
            partial_interval_s=self.partial_interval_s,
            vocabulary=self.vocabulary or None,
            group=self.group,
            speaker=self.speaker,
            speakers=self.speakers,
        )
