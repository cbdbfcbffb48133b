"""`--vocabulary`: a file or terms, each mistake in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrctl.cli.vocabulary import vocabulary_of
from asrctl.errors import UsageError


def test_a_file(tmp_path: Path) -> None:
    """One term a line; comments and empty lines are none, and a BOM is no part of the first."""
    path = tmp_path / "names"
    path.write_text("\ufeffAda Lovelace  # the countess\n\n# people\r\nŁódź\n", encoding="utf-8")
    assert vocabulary_of(str(path)) == ("Ada Lovelace", "Łódź")


def test_terms() -> None:
    """Between commas, or a single one that is no file."""
    assert vocabulary_of("Ada, Bo ,, Łódź") == ("Ada", "Bo", "Łódź")
    assert vocabulary_of("Ada Lovelace") == ("Ada Lovelace",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("latin.txt", "Müller".encode("latin-1"), r"latin\.txt is not UTF-8"),
        ("empty.txt", b"# nothing\n", "holds no terms"),
        ("long.txt", b"#" * ((1 << 20) + 1), "longer than 1 MiB"),
        ("many.txt", b"\n".join(b"t%d" % number for number in range(101)), "101 terms are too many"),
        ("binary.txt", b"a\x00b", "no text"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    """They are refused by name."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message) as error:
        vocabulary_of(str(tmp_path / name))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("given", ["no/such", "names.txt", " , ", ""])
def test_nothing_there(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What looks like a file has to be one; no terms are a mistake; so is a directory."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"No such file|holds no terms"):
        vocabulary_of(given)
    with pytest.raises(UsageError, match="cannot read the vocabulary"):
        vocabulary_of(str(tmp_path))
