"""From settings to what a provider is set up with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asrctl.providers.plugin import Setup

if TYPE_CHECKING:
    from asrctl.providers.plugin import Plugin
    from asrctl.settings import Settings


def setup_of(settings: Settings, plugin: Plugin) -> Setup:
    """What the settings say to a provider."""
    return Setup(settings.of(plugin), settings.model, settings.models_dir)
