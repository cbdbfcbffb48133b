"""Settings: defaults, overridden by a TOML file, overridden by `ASRCTL_*` variables; flags come last.

    model = "base"              # or ASRCTL_MODEL=base
    [vad]
    onset = 0.6                 # or ASRCTL_VAD__ONSET=0.6

A provider has the section of its name, with the fields of its plug-in's settings class.

The classes are plain dataclasses that pydantic checks when there is something to check: importing it
costs 125 ms (`pydantic-settings` 170 ms, measured on 2 cores with CPython 3.11), which somebody without a
config file should not wait for before each transcript.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from asrctl.errors import UsageError
from asrctl.render import Format

if TYPE_CHECKING:
    from asrctl.providers.plugin import Plugin

ENV_PREFIX = "ASRCTL_"
_OF_PROVIDERS = "provider_settings"
_NOT_SETTINGS = frozenset({"ASRCTL_CONFIG", "ASRCTL_DEBUG", "ASRCTL_API_KEY"})
"""Variables that the command line reads itself: `--config`, tracebacks, and `--api-key`."""

Number = TypeVar("Number", int, float)


def _number(default: Number, least: Number, most: Number) -> Number:
    """A field with bounds, both allowed."""
    return field(default=default, metadata={"least": least, "most": most})


@dataclass(frozen=True, slots=True)
class VadSettings:
    """Voice activity: probabilities at which speech starts and ends, and times around it in seconds."""

    onset: float = _number(0.5, 0.01, 0.99)
    offset: float = _number(0.35, 0.01, 0.99)
    trailing_silence_s: float = _number(0.5, 0.05, 10.0)
    min_speech_s: float = _number(0.09, 0.0, 10.0)
    speech_pad_s: float = _number(0.2, 0.0, 5.0)


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """Live audio: how often partials are made, and the length at which an utterance is cut, in seconds."""

    partial_interval_s: float = _number(1.0, 0.1, 60.0)
    max_utterance_s: float = _number(15.0, 1.0, 29.0)


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Audio that a server transcribes: how long it is tried, and how much audio waits for it meanwhile.

    Attributes:
        wait_for_server_s: How long a server is waited for that has never answered.
        max_attempts: How often a connection is tried again before the server is given up.
        max_wait_s: The longest wait between two attempts.
        disk_mib: Audio of a microphone that is held on disk meanwhile.
    """

    wait_for_server_s: float = _number(5.0, 0.0, 86_400.0)
    max_attempts: int = _number(15, 1, 1000)
    max_wait_s: float = _number(60.0, 0.01, 3600.0)
    disk_mib: int = _number(512, 0, 1 << 20)


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """The server: where it listens, whom it lets in, and how much it holds; times in seconds.

    Attributes:
        host: Address to listen on.
        port: TCP port; 0 takes a free one.
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
        grace_s: How long a shutdown waits for finals.
        watchdog_s: A decode may take so long, and twice its audio; then its worker is replaced.
        retry_s: When a model that failed is tried again.
    """

    host: str = "127.0.0.1"
    port: int = _number(8765, 0, 65_535)
    page: bool = True
    max_sessions: int = _number(10, 1, 1000)
    max_system_sessions: int = _number(0, 0, 1000)
    api_key: str = ""
    allow_origins: tuple[str, ...] = ()
    small_model: str = "auto"
    fallback_model: str = ""
    fallback_provider: str = ""
    window_s: float = _number(30.0, 1.0, 600.0)
    hold_s: float = _number(60.0, 30.0, 3600.0)
    spool_s: float = _number(600.0, 0.0, 86_400.0)
    max_lag_s: float = _number(10.0, 1.0, 3600.0)
    max_connections: int = _number(256, 16, 100_000)
    max_connections_per_peer: int = _number(128, 0, 100_000)
    resume_ttl_s: float = _number(60.0, 0.0, 3600.0)
    handshake_timeout_s: float = _number(10.0, 0.1, 600.0)
    idle_timeout_s: float = _number(60.0, 1.0, 86_400.0)
    max_message_bytes: int = _number(1 << 20, 1024, 1 << 26)
    max_messages_per_s: int = _number(500, 10, 100_000)
    grace_s: float = _number(10.0, 0.0, 3600.0)
    watchdog_s: float = _number(30.0, 1.0, 3600.0)
    retry_s: float = _number(60.0, 1.0, 86_400.0)


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
    down: float = _number(0.7, 0.0, 100.0)
    calm_s: float = _number(30.0, 0.0, 86_400.0)
    min_stay_s: float = _number(10.0, 0.0, 86_400.0)
    max_queue_delay_s: float = _number(2.0, 0.01, 3600.0)


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
        prompt: Words that the audio is likely to hold: names, jargon.
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
    threads: int = _number(0, 0, 1024)
    workers: int = _number(0, 0, 1024)
    beam_size: int = _number(1, 1, 16)
    prompt: str = ""
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

    def overridden(self, **flags: Any) -> Settings:
        """These settings with the flags that were given; a flag that is None was not."""
        return dataclasses.replace(
            self, **{name: value for name, value in flags.items() if value is not None}
        )


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where each came from.

    Attributes:
        settings: What is in force.
        path: The config file, which need not exist.
        origins: By dotted key ("vad.onset"), the file or the variable that set it; defaults are not there.
    """

    settings: Settings
    path: Path
    origins: Mapping[str, str]


class _Given(NamedTuple):
    """A value as it was written, and who wrote it."""

    value: Any
    origin: str


def default_path() -> Path:
    """`config.toml` in the platform's configuration directory for asrctl."""
    from platformdirs import user_config_path

    return user_config_path("asrctl", appauthor=False) / "config.toml"


def load(config: Path | None = None, environ: Mapping[str, str] | None = None) -> Loaded:
    """Read the config file and the environment.

    Args:
        config: The file to read; it must exist. None reads the platform's, if it is there.
        environ: The environment, this process's by default.

    Raises:
        UsageError: A file that cannot be read, a key that does not exist, or a value that does not fit;
            the message names the key, and the file or variable.
    """
    path = config or default_path()
    given = dict(_from_file(path, required=config is not None))
    given |= _from_environment(os.environ if environ is None else environ)
    settings = _validated(given) if given else Settings()
    return Loaded(settings, path, {key: item.origin for key, item in given.items()})


def flat(settings: Settings) -> dict[str, Any]:
    """All settings by dotted key, in the order of their declaration, then those of all providers by name."""
    from asrctl.providers.registry import PROVIDERS

    own = {key: _get(settings, key) for key in _own_fields()}
    for name in sorted(PROVIDERS):
        plugin = PROVIDERS[name]
        own |= {f"{name}.{field}": getattr(settings.of(plugin), field) for field in _names(plugin)}
    return own


# Reading


def _from_file(path: Path, required: bool) -> Iterator[tuple[str, _Given]]:
    import tomllib

    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        if required:
            raise UsageError(f"there is no config file {path}") from None
        return
    except OSError as error:
        raise UsageError(f"cannot read the config file {path}: {error.strerror}") from error
    except ValueError as error:  # not TOML, or not even UTF-8
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    for key, value in _dotted(tables):
        if key not in (known := _known(key)):
            raise UsageError(f"{path}: {_unknown(key, known)}")
        yield key, _Given(value, str(path))


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, _Given]]:
    for name, text in environ.items():
        if not name.startswith(ENV_PREFIX) or name in _NOT_SETTINGS or not text:
            continue  # an empty variable is what many shells and containers have for "not set"
        section = name.removeprefix(ENV_PREFIX).lower().partition("__")
        fields = _known(f"{section[0]}." if section[1] else section[0])
        variables = {ENV_PREFIX + key.replace(".", "__").upper(): key for key in fields}
        if name not in variables:
            raise UsageError(f"environment: {_unknown(name, variables)}")
        key = variables[name]
        is_list = isinstance(_default_of(fields[key]), tuple)
        yield key, _Given([part.strip() for part in text.split(",")] if is_list else text, name)


def _dotted(tables: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tables.items():
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _unknown(key: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"there is no setting {key}" + (f"; did you mean {close[0]}?" if close else "")


# Checking


def _validated(given: Mapping[str, _Given]) -> Settings:
    nested: dict[str, Any] = {}
    for key, item in given.items():
        *sections, name = key.split(".")
        table = nested
        for section in sections:
            table = table.setdefault(section, {})
        table[name] = item.value
    sections_of_ours = {field.name for field in dataclasses.fields(Settings)}
    own = {name: value for name, value in nested.items() if name in sections_of_ours}
    settings: Settings = _checked(Settings, own, given)
    provider_settings = {
        name: _checked(plugin.settings, table, given, f"{name}.")
        for name, table in nested.items()
        if name not in sections_of_ours and (plugin := _plugin(name)) is not None
    }
    differing = {name: of for name, of in provider_settings.items() if of != type(of)()}
    return settings.overridden(provider_settings=differing)


def _checked(
    kind: type[Any], values: Mapping[str, Any], given: Mapping[str, _Given], prefix: str = ""
) -> Any:
    """An object of a settings class, with its bounds checked and `~` expanded.

    Args:
        kind: The class.
        values: What is set, nested.
        given: All that was written, by dotted key.
        prefix: Of the keys that belong to this class.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        made = TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        at = f"{prefix}{_dots(first['loc'])}"
        key = next((key for key in given if at.startswith(f"{key}.")), None)
        what = first["msg"].replace("Input ", "it ").replace("tuple", "list")
        if key is None:  # a class that checks its values together
            raise UsageError(f"{prefix.rstrip('.')}: {what}") from error
        raise _misfit(key, given[key], what) from error
    for key, item in given.items():
        if key in (fields := _fields(kind, prefix)):
            _check_bounds(key, item, _get(made, key.removeprefix(prefix)), fields[key])
    return _expanded(made)


def _expanded(made: Any) -> Any:
    paths = {
        field.name: value.expanduser()
        for field in dataclasses.fields(made)
        if isinstance(value := getattr(made, field.name), Path)
    }
    return dataclasses.replace(made, **paths)


def _check_bounds(key: str, item: _Given, value: Any, field: dataclasses.Field[Any]) -> None:
    bounds = field.metadata
    if "least" in bounds and not bounds["least"] <= value <= bounds["most"]:
        raise _misfit(key, item, f"it should be from {bounds['least']} to {bounds['most']}")


def _misfit(key: str, item: _Given, what: str) -> UsageError:
    shown = "..." if key.endswith("_key") else repr(item.value)
    return UsageError(f"{item.origin}: {key} is {shown}: {what}")


def _dots(location: tuple[int | str, ...]) -> str:
    return "".join(f"{part}." for part in location)


# Keys


def _known(key: str) -> dict[str, dataclasses.Field[Any]]:
    """Fields by dotted key: our own, and those of the provider that has the key's section, if one has.

    Providers of other packages are looked for only if the section is none of ours.
    """
    own = _own_fields()
    section, dot, _ = key.partition(".")
    if not dot or any(each.startswith(f"{section}.") for each in own):
        return own
    plugin = _plugin(section)
    return own | _fields(plugin.settings, f"{section}.") if plugin else own


def _plugin(name: str) -> Any:
    """A provider's plug-in; None if there is none."""
    from asrctl.providers.registry import PROVIDERS

    return PROVIDERS.get(name)


def _names(plugin: Plugin) -> list[str]:
    return [field.name for field in dataclasses.fields(plugin.settings)]


def _own_fields() -> dict[str, dataclasses.Field[Any]]:
    """Every setting's field by its dotted key, without those of providers."""
    return _fields(Settings)


def _fields(kind: type[Any], prefix: str = "") -> dict[str, dataclasses.Field[Any]]:
    fields = {}
    for top in dataclasses.fields(kind):
        section = top.default_factory
        if dataclasses.is_dataclass(section) and isinstance(section, type):
            fields |= {f"{prefix}{top.name}.{inner.name}": inner for inner in dataclasses.fields(section)}
        elif top.name != _OF_PROVIDERS:
            fields[prefix + top.name] = top
    return fields


def _default_of(field: dataclasses.Field[Any]) -> Any:
    factory = field.default_factory
    return field.default if factory is dataclasses.MISSING else factory()


def _get(settings: Any, key: str) -> Any:
    value = settings
    for name in key.split("."):
        value = getattr(value, name)
    return value
