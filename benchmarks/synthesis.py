"""Sentences of languages of which no package has recorded speech, spoken by espeak-ng."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.sources import Recording, Source, SourceError

SENTENCES = {  # ours
    "de": (
        "Guten Morgen, wir treffen uns heute um neun Uhr im großen Saal.",
        "Der Zug nach Hamburg fährt wegen des Schnees erst eine Stunde später ab.",
        "Bitte bringen Sie die Unterlagen mit, die wir letzte Woche besprochen haben.",
    ),
    "nl": (
        "Goedemorgen, we zien elkaar vandaag om negen uur in de grote zaal.",
        "De trein naar Utrecht vertrekt door de sneeuw een uur later.",
        "Neem alstublieft de papieren mee die we vorige week hebben besproken.",
    ),
    "pl": (
        "Dzień dobry, spotykamy się dzisiaj o dziewiątej w dużej sali.",
        "Pociąg do Krakowa odjeżdża z powodu śniegu godzinę później.",
        "Proszę przynieść dokumenty, o których rozmawialiśmy w zeszłym tygodniu.",
    ),
    "tr": (
        "Günaydın, bugün saat dokuzda büyük salonda buluşuyoruz.",  # noqa: RUF001 Turkish
        "Ankara treni kar yüzünden bir saat geç kalkıyor.",  # noqa: RUF001
        "Lütfen geçen hafta konuştuğumuz belgeleri yanınızda getirin.",  # noqa: RUF001
    ),
}


def _fetch(directory: Path) -> None:
    for language, sentences in SENTENCES.items():
        for number, text in enumerate(sentences):
            path = directory / f"{language}-{number}.wav"
            command = ["espeak-ng", "-v", language, "-s", "150", "-w", str(path), text]
            try:
                subprocess.run(command, check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError) as error:
                raise SourceError("espeak-ng (a package of Debian) does not run") from error


def _recordings(directory: Path) -> Iterator[Recording]:
    for language, sentences in SENTENCES.items():
        for number, text in enumerate(sentences):
            path = directory / f"{language}-{number}.wav"
            yield Recording(path.stem, path, text, f"synthetic-{language}", language)


ESPEAK = Source("espeak-ng", "audio of our own sentences", True, _fetch, _recordings)
