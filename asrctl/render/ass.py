"""Advanced SubStation Alpha (ASS) subtitles, version 4.00+."""

from __future__ import annotations

from asrctl.render.cues import Cue
from asrctl.render.subtitles import SrtWriter, clock
from asrctl.render.text import one_line

_STYLE = {
    **{"Name": "Default", "Fontname": "Arial", "Fontsize": "20"},
    **{"PrimaryColour": "&H00FFFFFF", "SecondaryColour": "&H0000FFFF"},
    **{"OutlineColour": "&H00000000", "BackColour": "&H80000000"},
    **{"Bold": "0", "Italic": "0", "Underline": "0", "StrikeOut": "0"},
    **{"ScaleX": "100", "ScaleY": "100", "Spacing": "0", "Angle": "0"},
    **{"BorderStyle": "1", "Outline": "2", "Shadow": "1", "Alignment": "2"},
    **{"MarginL": "20", "MarginR": "20", "MarginV": "15", "Encoding": "1"},
}
_HEADER = f"""[Script Info]
ScriptType: v4.00+
PlayResX: 512
PlayResY: 288
ScaledBorderAndShadow: yes

[V4+ Styles]
Format: {", ".join(_STYLE)}
Style: {",".join(_STYLE.values())}

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


class AssWriter(SrtWriter):
    """A `Dialogue` line for each cue, as it comes, behind the header; with karaoke, a duration for each word.

    The speaker is in the field `Name`, which players do not show, and before the text.
    """

    header = _HEADER

    def _cue(self, number: int, cue: Cue) -> str:
        text = r"\N".join(_karaoke(cue) if self._style.karaoke else map(_escaped, cue.lines))
        name = one_line(cue.speaker).replace(",", " ")  # commas part the fields
        spoken = f"{_escaped(name)}: {text}" if name else text
        start, end = (clock(time_ms)[:-1].removeprefix("0") for time_ms in (cue.start_ms, cue.end_ms))
        return f"Dialogue: 0,{start},{end},Default,{name},0,0,0,,{spoken}\n"


def _karaoke(cue: Cue) -> list[str]:
    """Lines with `{\\k}` before each word: the hundredths of a second until the next one is lit."""
    starts_ms = [min(max(atom.start_ms, cue.start_ms), cue.end_ms) for line in cue.spoken for atom in line]
    ends = iter(round(each / 10) for each in [*starts_ms[1:], cue.end_ms])
    at = round(cue.start_ms / 10)
    lines = []
    for atoms in cue.spoken:
        line = ""
        for index, atom in enumerate(atoms):
            end = max(at, next(ends))
            line += f"{' ' if atom.spaced and index else ''}{{\\k{end - at}}}{_escaped(atom.text)}"
            at = end
        lines.append(line)
    return lines


def _escaped(text: str) -> str:
    """Braces begin commands, and so does a backslash before some letters: a word joiner keeps them apart."""
    return text.replace("\\", "\\\u2060").replace("{", r"\{").replace("}", r"\}")
