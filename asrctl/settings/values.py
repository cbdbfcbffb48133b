"""What can be set, with its defaults and bounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrctl.providers.plugin import number
from asrctl.render import Format

if TYPE_CHECKING:
    from asrctl.providers.plugin import Plugin, Setup


@dataclass(frozen=True, slots=True)
class VadSettings:
    """Voice activity: probabilities at which speech starts and ends, and times around it in seconds."""

    onset: float = number(0.5, 0.01, 0.99)
    offset: float = number(0.35, 0.01, 0.99)
    trailing_silence_s: float = number(0.5, 0.05, 10.0)
    min_speech_s: float = number(0.09, 0.0, 10.0)
    speech_pad_s: float = number(0.2, 0.0, 5.0)


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """Live audio; times in seconds.

    Attributes:
        partial_interval_s: How often partials are made.
        max_utterance_s: The length at which an utterance is cut.
        end_of_turn: Hear whether a pause ends a turn (extra "turn").
        unfinished_silence_s: With that, a pause this long ends an utterance that sounds unfinished.
    """

    partial_interval_s: float = number(1.0, 0.1, 60.0)
    max_utterance_s: float = number(15.0, 1.0, 29.0)
    end_of_turn: bool = False
    unfinished_silence_s: float = number(1.5, 0.2, 10.0)


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Audio that a server transcribes: how long it is tried, and how much audio waits for it meanwhile.

    Attributes:
        wait_for_server_s: How long a server is waited for until it is ready for the first time. Where this is
            not said, one that has never answered is given up after 5 s, one that has after `max_attempts`.
        max_attempts: How often a connection is tried again before the server is given up.
        max_wait_s: The longest wait between two attempts.
        disk_mib: Audio of a microphone that is held on disk meanwhile.
    """

    wait_for_server_s: float | None = field(default=None, metadata={"least": 0.0, "most": 86_400.0})
    max_attempts: int = number(15, 1, 1000)
    max_wait_s: float = number(60.0, 0.01, 3600.0)
    disk_mib: int = number(512, 0, 1 << 20)


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """The server: where it listens, whom it lets in, and how much it holds; times in seconds.

    Attributes:
        host: Address to listen on.
        port: TCP port; 0 takes a free one.
        node: This server's name among others: session ids begin with it, log and metrics have it.
        wyoming_port: TCP port for clients that speak Wyoming; 0 takes a free one, none is the default.
        zeroconf: Whether that port is announced on the local network, for Home Assistant to find.
        page: Whether `/` serves the page for browsers.
        max_sessions: Sessions at once; fewer are let in where the machine cannot do as many.
        max_system_sessions: The same for `system` audio alone; 0 for no bound of its own.
        api_key: What clients must know; empty for nothing.
        allow_origins: Web origins that may connect, besides those of this machine.
        small_model: Decodes under load; "auto" for a smaller one that needs no download, "none" for none.
        fallback_model: Decodes when the model cannot; empty for none.
        fallback_provider: What runs it; empty for the same.
        window_s: Audio that a client may send ahead.
        hold_s: Audio of one session held in memory; no less than the longest utterance.
        spool_s: Audio of one `system` session held on disk under load.
        max_lag_s: How far finals of live `mic` audio may be behind; the oldest speech beyond is dropped, and
            declared.
        max_connections: Connections at once, of sessions and strangers; never fewer than sessions need.
        max_connections_per_peer: The same for one address; 0 for no bound of its own.
        resume_ttl_s: How long a session waits for a lost client.
        handshake_timeout_s: How long a socket may say nothing before its session begins.
        idle_timeout_s: How long a client may say nothing in it.
        max_message_bytes: Longest message.
        max_messages_per_s: Most messages of one client.
        max_files: Uploaded files that are transcribed at a time.
        max_waiting_files: Uploaded files that may wait besides.
        max_upload_bytes: Longest upload.
        upload_idle_s: An upload that brings next to nothing for so long is cut.
        drain_s: How long a shutdown waits for sessions to end, or to fall silent and go on elsewhere.
        grace_s: How long it waits for finals then.
        watchdog_s: A decode may take so long, and twice its audio; then its worker is replaced.
        retry_s: When a model that failed is tried again.
    """

    host: str = "127.0.0.1"
    port: int = number(8765, 0, 65_535)
    node: str = ""
    wyoming_port: int | None = field(default=None, metadata={"least": 0, "most": 65_535})
    zeroconf: bool = False
    page: bool = True
    max_sessions: int = number(10, 1, 1000)
    max_system_sessions: int = number(0, 0, 1000)
    api_key: str = ""
    allow_origins: tuple[str, ...] = ()
    small_model: str = "auto"
    fallback_model: str = ""
    fallback_provider: str = ""
    window_s: float = number(30.0, 1.0, 600.0)
    hold_s: float = number(60.0, 30.0, 3600.0)
    spool_s: float = number(600.0, 0.0, 86_400.0)
    max_lag_s: float = number(10.0, 1.0, 3600.0)
    max_connections: int = number(256, 16, 100_000)
    max_connections_per_peer: int = number(128, 0, 100_000)
    resume_ttl_s: float = number(60.0, 0.0, 3600.0)
    handshake_timeout_s: float = number(10.0, 0.1, 600.0)
    idle_timeout_s: float = number(60.0, 1.0, 86_400.0)
    max_message_bytes: int = number(1 << 20, 1024, 1 << 26)
    max_messages_per_s: int = number(500, 10, 100_000)
    max_files: int = number(2, 1, 1000)
    max_waiting_files: int = number(8, 0, 10_000)
    max_upload_bytes: int = number(1 << 30, 1 << 16, 1 << 40)
    upload_idle_s: float = number(12.0, 0.1, 3600.0)
    drain_s: float = number(0.0, 0.0, 3600.0)
    grace_s: float = number(10.0, 0.0, 3600.0)
    watchdog_s: float = number(30.0, 1.0, 3600.0)
    retry_s: float = number(60.0, 1.0, 86_400.0)


@dataclass(frozen=True, slots=True)
class LadderSettings:
    """When a server does less work: loads are shares of what just keeps up; times in seconds.

    Attributes:
        up: Loads at which partials get rarer, the model smaller, and finals alone remain.
        down: Below this load it is calm.
        calm_s: How long it must be calm before one step back.
        min_stay_s: A step is taken back or forth no sooner.
        max_queue_delay_s: A wait of finals that counts as a load of 1.
    """

    up: tuple[float, float, float] = (0.8, 1.0, 1.2)
    down: float = number(0.7, 0.0, 100.0)
    calm_s: float = number(30.0, 0.0, 86_400.0)
    min_stay_s: float = number(10.0, 0.0, 86_400.0)
    max_queue_delay_s: float = number(2.0, 0.01, 3600.0)


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be set. Flags of the same names override it for one run.

    Attributes:
        model: A name of the catalog, or a path.
        models_dir: Where weights are kept; None for the platform's cache directory.
        provider: A provider's name, or "auto" for the first of `providers` that can run here.
        providers: The order in which providers are tried.
        language: A code such as "en"; "auto" detects it where the model knows several.
        threads: For each worker; 0 chooses by the machine.
        workers: Processes that decode; 0 chooses by the machine.
        beam_size: 1 is greedy.
        prompt: Text as it might have come before: sets style and names.
        vocabulary: Terms that the audio is likely to hold: names, jargon.
        translate: Into English, whatever is spoken.
        format: What `transcribe` writes.
        word_timestamps: Words with their times in the formats that can carry them.
        provider_settings: By provider, what its own section sets: an object of its plug-in's settings class.
            Providers of which nothing is set are not there.
    """

    model: str = "tiny.en-q8_0"
    models_dir: Path | None = None
    provider: str = "auto"
    providers: tuple[str, ...] = ("whisper_cpp", "faster_whisper")
    language: str = "auto"
    threads: int = number(0, 0, 1024)
    workers: int = number(0, 0, 1024)
    beam_size: int = number(1, 1, 16)
    prompt: str = ""
    vocabulary: tuple[str, ...] = ()
    translate: bool = False
    format: Format = "txt"
    word_timestamps: bool = False
    vad: VadSettings = field(default_factory=VadSettings)
    live: LiveSettings = field(default_factory=LiveSettings)
    client: ClientSettings = field(default_factory=ClientSettings)
    serve: ServeSettings = field(default_factory=ServeSettings)
    ladder: LadderSettings = field(default_factory=LadderSettings)
    provider_settings: Mapping[str, Any] = field(default_factory=dict)

    def of(self, plugin: Plugin) -> Any:
        """The settings of a provider, an object of its settings class."""
        return self.provider_settings.get(plugin.name) or plugin.settings()

    def setup_of(self, plugin: Plugin) -> Setup:
        """What is said to a provider."""
        from asrctl.providers.plugin import Setup

        return Setup(self.of(plugin), self.model, self.models_dir)

    def overridden(self, **flags: Any) -> Settings:
        """These settings with the flags that were given; a flag that is None was not."""
        return dataclasses.replace(
            self, **{name: value for name, value in flags.items() if value is not None}
        )
