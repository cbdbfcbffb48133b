"""The README's picture of a live transcription: `python -m tests.picture` draws it again.

It is drawn by the code that draws it in a terminal; only the words and the level are made up.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console

from asrctl.cli.live_view import Status, picture

PATH = Path(__file__).parents[1] / ".github" / "live.svg"
_COLUMNS = 64
_FONT_FACES = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


def svg() -> str:
    """The picture, without the fonts that rich would have the reader's browser fetch from elsewhere."""
    console = Console(
        record=True, width=_COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print("[bold]$[/bold] asrctl transcribe --mic", highlight=False)
    console.print("Please call me on Monday morning about the meeting.", highlight=False)
    console.print("I have read the draft twice.", highlight=False)
    status = Status(heard_s=13.2, level_db=-19.0, lag_s=1.6, note="")
    stable = "The second chapter is clear, but the first one needs"
    console.print(picture(console, stable, "a shorter introduction", status))
    drawn = console.export_svg(title="asrctl", unique_id="live")
    return _FONT_FACES.sub("", drawn).replace("Fira Code, monospace", "monospace") + "\n"


def texts(drawn: str) -> list[str]:
    """What can be read in a picture, with where it stands; how it is drawn depends on rich's version."""
    return re.findall(r'<text [^>]*clip-path="url\(#live-line-(?:\d+)\)">[^<]*</text>', drawn)


if __name__ == "__main__":
    PATH.write_text(svg(), encoding="utf-8")
