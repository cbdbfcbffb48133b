"""Reading settings: the config file, overridden by the environment; unknown keys and misfits are errors."""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from asrctl.errors import UsageError
from asrctl.settings.values import Settings

ENV_PREFIX = "ASRCTL_"
_OF_PROVIDERS = "provider_settings"
_NOT_SETTINGS = frozenset({"ASRCTL_CONFIG", "ASRCTL_DEBUG", "ASRCTL_API_KEY"})
"""Variables that the command line reads itself: `--config`, tracebacks, and `--api-key`."""


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

    own = {key: _get(settings, key) for key in _fields(Settings)}
    for name in sorted(PROVIDERS):
        made = settings.of(PROVIDERS[name])
        own |= {f"{name}.{field.name}": getattr(made, field.name) for field in dataclasses.fields(made)}
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
    for key, value in dotted(tables):
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


def dotted(tables: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values of nested tables by dotted key, such as ("vad.onset", 0.5)."""
    for key, value in tables.items():
        if isinstance(value, dict):
            yield from dotted(value, f"{prefix}{key}.")
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
        at = prefix + "".join(f"{part}." for part in first["loc"])
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
    if isinstance(item.value, bool) and "bool" not in str(field.type):  # which Python takes for 0 and 1
        raise _misfit(key, item, "it should be a number")
    if "least" in bounds and not bounds["least"] <= value <= bounds["most"]:
        raise _misfit(key, item, f"it should be from {bounds['least']} to {bounds['most']}")


def _misfit(key: str, item: _Given, what: str) -> UsageError:
    shown = "..." if key.endswith("_key") else repr(item.value)
    return UsageError(f"{item.origin}: {key} is {shown}: {what}")


# Keys


def _known(key: str) -> dict[str, dataclasses.Field[Any]]:
    """Fields by dotted key: our own, and those of the provider that has the key's section, if one has.

    Providers of other packages are looked for only if the section is none of ours.
    """
    own = _fields(Settings)
    section, dot, _ = key.partition(".")
    if not dot or any(each.startswith(f"{section}.") for each in own):
        return own
    plugin = _plugin(section)
    return own | _fields(plugin.settings, f"{section}.") if plugin else own


def _plugin(name: str) -> Any:
    """A provider's plug-in; None if there is none."""
    from asrctl.providers.registry import PROVIDERS

    return PROVIDERS.get(name)


def _fields(kind: type[Any], prefix: str = "") -> dict[str, dataclasses.Field[Any]]:
    """Every setting's field by its dotted key; of `Settings`, without those of providers."""
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
