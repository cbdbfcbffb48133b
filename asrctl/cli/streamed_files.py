"""Files through providers that are fed streams: the live engine, at full speed, one file after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from asrctl.cli.live import LiveRequest, listen_with
from asrctl.cli.live_view import LiveView
from asrctl.cli.offline import RawFormat
from asrctl.cli.providers import Providers
from asrctl.cli.recognizer import Recognizer
from asrctl.cli.whole_files import whole_files
from asrctl.errors import AudioError


def transcribe_files(
    recognizer: Recognizer,
    names: Sequence[str],
    raw: RawFormat | None,
    outputs: Sequence[Path | None],
    request: LiveRequest,
) -> int:
    """Transcribe all inputs; returns how many failed.

    Raises:
        ProviderError: The provider cannot run, and nobody stands in.
        AsrctlError: An output cannot be written.
    """
    failed, view = 0, LiveView()
    with Providers(recognizer) as providers:
        providers.wait_ready()
        for open_source, output in zip(whole_files(names, raw), outputs, strict=True):
            try:
                source = open_source()
                listen_with(providers, source, replace(request, output=output, paced=False), view)
            except AudioError as error:
                view.say(f"asrctl: error: {error}")
                failed += 1
    return failed
