"""What decodes under load: the best model at hand that is clearly cheaper."""

from __future__ import annotations

import pytest

from asrctl.models.catalog import CATALOG
from asrctl.policy.sizing import Model
from asrctl.policy.stand_in import stand_in


def models(*names: str) -> list[Model]:
    """The catalog's."""
    return [Model(name, CATALOG[name].memory_bytes, CATALOG[name].multilingual) for name in names]


@pytest.mark.parametrize(
    ("main", "there", "expected"),
    [
        ("tiny.en-q8_0", ["tiny.en", "tiny.en-q8_0", "tiny.en-q5_1", "tiny-q8_0"], None),
        ("tiny.en", ["tiny.en", "tiny.en-q8_0", "tiny.en-q5_1"], "tiny.en-q8_0"),
        ("base.en", ["base.en-q8_0", "tiny.en", "tiny.en-q8_0", "tiny-q8_0"], "tiny.en-q8_0"),
        ("base", ["tiny.en-q8_0", "base.en-q8_0"], None),
        ("base", ["tiny.en-q8_0", "base-q8_0", "base-q5_1"], "base-q8_0"),
        ("base-q8_0", ["base", "base-q5_1", "tiny.en-q8_0"], None),
        ("medium", ["tiny", "base-q5_1", "small-q5_1", "small-q8_0", "small"], "small-q8_0"),
        ("medium", [], None),
    ],
)
def test_what_stands_in(main: str, there: list[str], expected: str | None) -> None:
    """A smaller size comes first, then q8_0 for f16; what knows fewer languages never does."""
    found = stand_in(models(main)[0], models(*there))
    assert (found.name if found else None) == expected


def test_every_stand_in_is_cheaper() -> None:
    """Whatever is there, what stands in takes less memory, and knows the main model's languages."""
    there = models(*CATALOG)
    for main in there:
        found = stand_in(main, there)
        if found is not None:
            assert found.memory_bytes < main.memory_bytes
            assert found.multilingual or not main.multilingual
