"""How results are rendered, whatever the format."""

from __future__ import annotations

from dataclasses import dataclass, field

from asrctl.errors import UsageError
from asrctl.render.cues import SubtitleOptions


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """What a writer is told besides its segments; each takes what concerns its format.

    Attributes:
        words: TSV has a row for each word; for WebVTT and ASS, say `subtitles.karaoke`.
        speakers: There are some: TSV has a column for them, from the first row on.
        paragraph_pause_s: In plain text an empty line goes where nothing was said for so long; None for none.
        subtitles: How cues look.

    Raises:
        UsageError: A value makes no sense.
    """

    words: bool = False
    speakers: bool = False
    paragraph_pause_s: float | None = None
    subtitles: SubtitleOptions = field(default_factory=SubtitleOptions)

    def __post_init__(self) -> None:
        """Validate once, at the edge."""
        if self.paragraph_pause_s is not None and not self.paragraph_pause_s > 0:
            raise UsageError("paragraph_pause_s must be positive")
