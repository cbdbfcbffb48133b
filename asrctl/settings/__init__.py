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

from asrctl.settings.reading import Loaded, default_path, flat, load
from asrctl.settings.values import (
    ClientSettings,
    LadderSettings,
    LiveSettings,
    ServeSettings,
    Settings,
    VadSettings,
)

__all__ = [
    "ClientSettings",
    "LadderSettings",
    "LiveSettings",
    "Loaded",
    "ServeSettings",
    "Settings",
    "VadSettings",
    "default_path",
    "flat",
    "load",
]
