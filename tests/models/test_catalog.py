"""The catalog: sizes that follow from the architecture, names and hints."""

from __future__ import annotations

import re

import pytest

from asrctl.errors import ModelError
from asrctl.models.catalog import ALIASES, CATALOG, CatalogEntry, lookup
from asrctl.models.layout import Dimensions

SIZES = {"tiny": (384, 4), "base": (512, 6), "small": (768, 12), "medium": (1024, 24), "large": (1280, 32)}
FTYPES = {None: 1, "q8_0": 7, "q5_0": 8, "q5_1": 9}


def length_after_the_head(entry: CatalogEntry) -> int:
    """What the tensors of a model take, with their headers, by its name alone."""
    width, layers = SIZES[re.split(r"[.-]", entry.base_name)[0]]
    version3 = "large-v3" in entry.base_name
    text_layers = 4 if "turbo" in entry.base_name else layers
    vocabulary = (51_865 + version3) if entry.multilingual else 51_864
    heads = width // 64
    dimensions = Dimensions(
        *(vocabulary, 1500, width, heads, layers, 448, width, heads, text_layers),
        *(128 if version3 else 80, FTYPES[entry.quantization]),
    )
    assert dimensions.problem() is None
    return sum(
        4 * (3 + len(spec.shape)) + len(spec.name) + spec.type.size_bytes(spec.shape)
        for spec in dimensions.tensors()
    )


@pytest.mark.parametrize("name", CATALOG)
def test_sizes_follow_from_the_architecture(name: str) -> None:
    """Less its tensors, a file is the head that all of its language and mel bands share."""
    entry = CATALOG[name]
    mel_bands = 128 if "large-v3" in name else 80
    head_bytes = entry.size_bytes - length_after_the_head(entry) - 4 * 201 * mel_bands
    reference = CATALOG["tiny" if entry.multilingual else "tiny.en"]
    expected = reference.size_bytes - length_after_the_head(reference) - 4 * 201 * 80
    # Quantised files of English models were made by tools that leave out the token <|endoftext|>.
    assert expected - head_bytes in {0, 4 + len("<|endoftext|>")}


def test_entries_are_told_apart() -> None:
    """No two share a checksum, each is 40 hexadecimal digits, and each base of a quantised one is there."""
    checksums = [entry.sha1 for entry in CATALOG.values()]
    assert len(set(checksums)) == len(checksums)
    assert all(re.fullmatch("[0-9a-f]{40}", sha1) for sha1 in checksums)
    assert all(entry.base_name in CATALOG for entry in CATALOG.values())


def test_lookup_by_name_and_alias() -> None:
    """An alias is the same entry."""
    assert lookup("tiny.en").file_name == "ggml-tiny.en.bin"
    for alias, name in ALIASES.items():
        assert lookup(alias) is CATALOG[name]


@pytest.mark.parametrize(
    "name, hint",
    [
        ("tinny.en", "did you mean tiny.en"),
        ("LARGE", "did you mean large"),
        ("base_q8_0", "base-q8_0"),
        ("zzz", "`asrctl models list` shows"),
        ("", "`asrctl models list` shows"),
    ],
)
def test_unknown_names_are_answered_with_what_is_near(name: str, hint: str) -> None:
    """Or with the command that lists what there is."""
    with pytest.raises(ModelError) as caught:
        lookup(name)
    assert hint in str(caught.value)
