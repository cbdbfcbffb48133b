"""Machines and models by size."""

from __future__ import annotations

import pytest

from asrctl.policy.sizing import (
    GIB,
    Model,
    Resources,
    Wish,
    best_for_files,
    fits,
    largest_for,
    quality,
    sessions_for,
    suits,
    threads_for,
    tier_of,
)


@pytest.mark.parametrize(
    ("gib", "gpu", "cores", "model"),
    [
        (2, False, 2, "tiny-q8_0"),
        (3.6, True, 8, "tiny-q8_0"),
        (4, False, 4, "base-q8_0"),
        (7.3, False, 8, "base-q8_0"),
        (8, False, 4, "small-q8_0"),
        (7.7, False, 4, "small-q8_0"),
        (8, False, 2, "base-q8_0"),
        (16, False, 12, "medium-q5_0"),
        (16, False, 8, "small-q8_0"),
        (64, False, 2, "base-q8_0"),
        (8, True, 8, "small-q8_0"),
        (16, True, 8, "large-v3-turbo-q8_0"),
        (32, True, 8, "large-v3"),
        (31, True, 2, "large-v3"),
    ],
)
def test_six_classes_of_machines(gib: float, gpu: bool, cores: int, model: str) -> None:
    """By memory, with a tolerance for what is reserved; without a GPU the cores bound it too."""
    resources = Resources(cores, int(gib * GIB), gpu=gpu)
    assert largest_for(tier_of(resources), resources) == model


def test_unknown_memory_is_little() -> None:
    """Better a small model than none that loads."""
    assert tier_of(Resources(8)).model == "base-q8_0"


def test_quality_orders_the_catalog() -> None:
    """By size first; coarse quantisation costs words, q8_0 does not; English models hear English better."""
    names = [
        "tiny-q5_1",
        "tiny",
        "tiny.en",
        "base-q5_1",
        "base",
        "small",
        "medium",
        "large-v3-turbo",
        "large-v3",
    ]
    assert sorted(names, key=quality) == names
    assert quality("base") == quality("base-q8_0") > quality("base-q5_1")
    assert quality("own-mine-123") <= quality("tiny")
    assert quality("medium") < quality("parakeet-tdt-0.6b-v3-q4_k_m") < quality("parakeet-tdt-0.6b-v3")
    assert quality("qwen3-asr-0.6b") == quality("large-v3-turbo-q8_0")


@pytest.mark.parametrize(
    ("resources", "workers", "expected"),
    [
        (Resources(2, available_bytes=1000), 1, True),
        (Resources(2, available_bytes=1000), 2, False),
        (Resources(2), 64, True),
        (Resources(2, available_bytes=1000, gpu=True, gpu_memory_bytes=500), 1, False),
        (Resources(2, available_bytes=1000, gpu=True, gpu_memory_bytes=2000), 2, True),
        (Resources(2, available_bytes=1000, gpu=True), 1, True),
    ],
)
def test_what_fits(resources: Resources, workers: int, expected: bool) -> None:
    """All workers in most of what is free, or in the GPU's own memory; unknown memory bounds nothing."""
    assert fits(Model("m", 600, True), resources, workers) is expected


def test_languages() -> None:
    """English models are for English, or for those who did not say."""
    english, many = Model("tiny.en", 1, False), Model("tiny", 1, True)
    assert suits(english, Wish()) and suits(english, Wish(language="en"))
    assert not suits(english, Wish(language="de")) and suits(many, Wish(language="de"))


@pytest.mark.parametrize(
    ("cores", "fast", "workers", "threads"),
    [
        (2, None, 1, 2),
        (10, 4, 1, 4),
        (10, 4, 2, 2),
        (1, None, 3, 1),
        (64, None, 1, 8),
        (12, None, 2, 6),
        (2, 8, 1, 2),
    ],
)
def test_slow_cores_are_left_out(cores: int, fast: int | None, workers: int, threads: int) -> None:
    """Threads wait for the slowest of them."""
    assert threads_for(cores, fast, workers) == threads


def test_sessions_by_cores() -> None:
    """One core bears half of what a server lets in at most."""
    assert [sessions_for(cores) for cores in (1, 2, 16)] == [5, 10, 10]


@pytest.mark.parametrize(
    ("there", "cores", "language", "best"),
    [
        ("tiny.en-q8_0 base-q8_0", 2, "auto", "base-q8_0"),
        ("tiny.en-q8_0 base-q8_0", 2, "de", "base-q8_0"),
        ("tiny.en-q8_0 tiny.en", 2, "auto", "tiny.en-q8_0"),
        ("tiny.en-q8_0 base-q5_1 base", 1, "en", "base"),
        ("base base.en", 2, "auto", "base"),
        ("base base.en", 2, "en", "base.en"),
        ("base.en small.en-q8_0", 3, "en", "base.en"),
        ("base.en small.en-q8_0", 4, "en", "small.en-q8_0"),
        ("base large-v3-turbo-q8_0 medium", 12, "auto", "medium"),
        ("base large-v3 medium", 8, "auto", "base"),
        ("tiny.en base.en", 8, "en,es", None),
        ("", 8, "auto", None),
    ],
)
def test_the_best_for_files(there: str, cores: int, language: str, best: str | None) -> None:
    """What knows the language and is fast enough on so many cores; then the best, the smallest of equals."""
    memory = {"q8_0": 2, "q5_1": 1}
    models = [Model(name, memory.get(name[-4:], 4), ".en" not in name) for name in there.split()]
    found = best_for_files(models, cores, language)
    assert (found.name if found else None) == best
