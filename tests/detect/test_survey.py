"""From probes to a recommendation and to words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from asrctl.detect import inventory, quick
from asrctl.detect.advice import advice
from asrctl.detect.calibrate import Calibration, Unmeasured
from asrctl.detect.machine import (
    AudioInput,
    Cpu,
    Gpu,
    Machine,
    Memory,
    ModelState,
    ProbeFailure,
    ProviderState,
    System,
    WhisperBuild,
)
from asrctl.detect.report import Report, as_json, as_text, heading
from asrctl.detect.survey import candidates_for, notes_on, recommended, resources_of
from asrctl.models.store import ModelFile, ModelStore
from asrctl.policy.capacity import Costs
from asrctl.policy.recommend import Candidate, Capacity, Measurement
from asrctl.policy.sizing import Wish

GIB = 1 << 30
READY = (ProviderState("whisper_cpp", ""), ProviderState("faster_whisper", "not installed: pip install it"))
TINY = ModelState("tiny.en-q8_0", 43_550_795, 221_808_715, False, "cached")
LAPTOP = Machine(
    System("Linux", "Debian 12", "x86_64"),
    Cpu("A processor", 4, None, 8, 8, ("avx2",)),
    Memory(16 * GIB, 12 * GIB),
    whisper=WhisperBuild(("AVX2",), in_use="CPU"),
    providers=READY,
    models=(TINY,),
    audio_inputs=(AudioInput("USB", 1, 48000, "ALSA", True), AudioInput("Line", 2, 44100, "ALSA", False)),
)
MAC = Machine(
    System("macOS", "15.5", "arm64"),
    Cpu("Apple M3", 8, 4, 8, 8),
    Memory(24 * GIB, 12 * GIB),
    (Gpu("Apple M3", "metal", 12 * GIB),),
    WhisperBuild(("NEON",), ("metal", "blas"), in_use="Metal"),
    READY,
)
NVIDIA = Machine(
    System("Linux", "Ubuntu 24.04", "x86_64"),
    Cpu("A processor", 16, None, 32, 32),
    Memory(30 * GIB, 20 * GIB),
    (Gpu("RTX 4080", "cuda", 16 * GIB),),
    WhisperBuild(("AVX2",), in_use="CPU"),
    READY,
)


def test_a_gpu_counts_where_whisper_cpp_uses_it() -> None:
    """Metal on a Mac does; a card beside a build for the CPU does not, nor one that fell back."""
    assert resources_of(MAC).gpu and resources_of(MAC).gpu_memory_bytes == 12 * GIB
    assert not resources_of(NVIDIA).gpu and not resources_of(LAPTOP).gpu
    fallen = Machine(gpus=MAC.gpus, whisper=WhisperBuild(backends=("metal",), in_use="CPU"))
    assert not resources_of(fallen).gpu


def test_the_classes_without_measurement() -> None:
    """A Mac's GPU takes the turbo model; the same memory without one what the cores can bear."""
    assert recommended(MAC, None, Wish()).command == "asrctl models pull large-v3-turbo-q8_0"
    assert recommended(LAPTOP, None, Wish()).model == "tiny.en-q8_0"


def test_what_could_not_be_measured_is_no_reason_for_more() -> None:
    """Where every candidate was too slow, the smallest of them is named, and no larger model by class."""
    small, large = (Candidate("whisper_cpp", name, 2, 1) for name in ("tiny.en-q8_0", "base-q8_0"))
    calibration = Calibration((), (Unmeasured(small, "too slow"), Unmeasured(large, "no time")))
    base = ModelState("base-q8_0", 10**9, 10**9, True, "cached")
    machine = replace(LAPTOP, models=(TINY, base))
    assert recommended(machine, None, Wish()).model == "base-q8_0"
    found = recommended(machine, calibration, Wish())
    assert (found.model, found.sessions) == ("tiny.en-q8_0", None)
    assert "nothing could be measured" in found.reasons[0]


def test_the_row_of_simd_does_not_depend_on_what_was_asked() -> None:
    """It is the processor's at a glance as after asking whisper.cpp, whose build is told in its own row."""
    glance, full = (as_text(report(replace(LAPTOP, whisper=each))) for each in (None, LAPTOP.whisper))
    rows = [[line for line in text.splitlines() if line.startswith("  SIMD")] for text in (glance, full)]
    assert rows[0] == rows[1] == ["  SIMD            AVX2"]
    assert "whisper.cpp " not in full and full.count("\n  whisper_cpp ") == 1


def test_only_what_is_ready_is_measured(tmp_path: Path) -> None:
    """Models in the cache, with recognisers that can run."""
    store = ModelStore(tmp_path)
    planned = candidates_for(LAPTOP, store, Wish())
    assert {(each.provider, each.model) for each in planned} == {("whisper_cpp", "tiny.en-q8_0")}
    assert candidates_for(MAC, store, Wish()) == []


def test_pulled_models_of_other_families_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that decode windows; by what was measured they are proposed, with the provider that ran them."""
    pulled = {
        name: ModelFile(name, tmp_path / name, 502_000_000, 764_000_000, True, streams)
        for name, streams in (("parakeet-tdt-0.6b-v3-q4_k_m", False), ("moonshine-streaming-tiny", True))
    }
    monkeypatch.setattr(inventory, "find_hub", lambda store, entry: pulled.get(entry.name))
    machine = replace(LAPTOP, providers=(*READY, ProviderState("transcribe_cpp", "")))
    found = candidates_for(machine, ModelStore(tmp_path), Wish())
    assert {(each.provider, each.model) for each in found} == {
        ("whisper_cpp", "tiny.en-q8_0"),
        ("transcribe_cpp", "parakeet-tdt-0.6b-v3-q4_k_m"),
    }
    measured = [Capacity(Measurement(each, Costs(0.1, 0.05), 0.1, 800_000_000, 1.0), 5) for each in found]
    advised = recommended(machine, Calibration(tuple(measured)), Wish())
    assert (advised.model, advised.providers) == ("parakeet-tdt-0.6b-v3-q4_k_m", ("transcribe_cpp",))


def test_an_unused_card_is_told_with_what_would_use_it() -> None:
    """The build flag of its kind, in one command."""
    (line,) = advice(NVIDIA)
    assert line.startswith("RTX 4080 is not used: this whisper.cpp was built without CUDA")
    assert "GGML_CUDA=1 " in line and " pip install --force-reinstall --no-cache-dir --no-binary" in line
    assert "CMAKE_INSTALL_RPATH='$ORIGIN' CMAKE_BUILD_WITH_INSTALL_RPATH=1" in line


def test_nothing_to_gain_is_said_by_silence() -> None:
    """A laptop without a GPU, and a Mac whose GPU is used, need no advice."""
    assert advice(LAPTOP) == advice(MAC) == []


def test_a_card_that_did_not_start() -> None:
    """Built for it, there, and on the CPU all the same."""
    machine = Machine(gpus=NVIDIA.gpus, whisper=WhisperBuild(backends=("cuda",), in_use="CPU"))
    assert "runs on the CPU all the same" in advice(machine)[0]


def test_rosetta_and_containers() -> None:
    """What makes a machine slower or smaller than it looks."""
    (line,) = advice(Machine(System("macOS", "15", "x86_64"), Cpu("Apple M3")))
    assert "Rosetta" in line
    lines = advice(Machine(cpu=Cpu(logical_cores=8, usable_cores=2), memory=Memory(16 * GIB, GIB, 2 * 10**9)))
    assert lines == [
        "2 of 8 cores may be used here (affinity or quota)",
        "the container may use 2.0 GB of memory",
    ]


def test_no_recogniser_at_all() -> None:
    """The first thing to know, with what would enable one."""
    machine = Machine(providers=(ProviderState("whisper_cpp", "pip install pywhispercpp"),))
    assert notes_on(machine)[0] == "no recogniser can run here: pip install pywhispercpp"


def report(machine: Machine, calibration: Calibration | None = None) -> Report:
    """A report on a machine."""
    found = recommended(machine, calibration, Wish())
    return Report(machine, Wish(), calibration, found, ["one word of advice"], Path("c.toml"), "x = 1\n", 0.1)


def test_the_table_says_what_matters() -> None:
    """System, cores, SIMD, memory, recognisers and why not, models, microphones, and what follows."""
    text = as_text(report(LAPTOP))
    for piece in (
        "Linux Debian 12, x86_64",
        "A processor, 4 cores, 8 usable",
        "AVX2",
        "17.2 GB, 12.9 GB free",
        "none found",
        "ready, runs on CPU, built for CPU with AVX2",
        "not installed: pip install it",
        "tiny.en-q8_0 with whisper_cpp",
        "USB (default), Line",
        "one word of advice",
    ):
        assert piece in text
    assert max(map(len, text.splitlines())) <= 100
    assert "\033[1mThis machine" in as_text(report(LAPTOP), bold=True)


def test_the_table_of_a_mac_and_of_an_unknown_machine() -> None:
    """Fast cores, the GPU, the command that gets a model; and nothing is made up of nothing."""
    text = as_text(report(MAC))
    assert "8 cores, 4 of them fast" in text and "Apple M3 (metal)" in text
    assert "get the model with: asrctl models pull large-v3-turbo-q8_0" in text
    blank = as_text(report(Machine(troubles=(ProbeFailure("CUDA", "no answer within 4 s"),))))
    assert "unknown" in blank and "none yet" in blank and "CUDA: no answer within 4 s" in blank
    assert "microphones" not in blank


def test_the_table_of_measurements() -> None:
    """A row for each, a line for what was not measured, and a word on a machine that was busy."""
    done = Measurement(
        Candidate("whisper_cpp", "tiny.en-q8_0", 2, 1), Costs(0.2, 0.02), 0.05, 144 * 10**6, 0.6
    )
    missed = Unmeasured(Candidate("whisper_cpp", "base-q8_0", 1, 2), "no time")
    text = as_text(report(LAPTOP, Calibration((Capacity(done, 12),), (missed,), 9.0, 0.5)))
    row = next(line for line in text.splitlines() if line.startswith("  whisper_cpp  tiny.en-q8_0"))
    assert row.split() == [
        "whisper_cpp",
        "tiny.en-q8_0",
        "1",
        "x",
        "2",
        "20.0",
        "144",
        "MB",
        "0.6",
        "s",
        "12",
    ]
    assert "base-q8_0 2 x 1: not measured: no time" in text
    assert "50% of the processors were busy" in text
    assert "12 at once" in text
    nothing = as_text(report(LAPTOP, Calibration((), (missed,))))
    assert "not measured: no time" in nothing and "x real time" not in nothing


def test_the_json_document() -> None:
    """Schema, sizes in bytes, and what was written where."""
    done = Measurement(
        Candidate("whisper_cpp", "tiny.en-q8_0", 2, 1), Costs(0.2, 0.02), 0.05, 144 * 10**6, 0.6
    )
    document = as_json(report(LAPTOP, Calibration((Capacity(done, 12),))), True, Path("c.toml.bak"))
    assert document["schema"] == 1
    assert document["machine"]["memory"]["total_bytes"] == 16 * GIB
    assert document["calibration"]["measured"][0]["sessions"] == 12
    assert document["calibration"]["measured"][0]["speed"] == 20.0
    assert document["recommendation"]["model"] == "tiny.en-q8_0"
    assert document["config"] == {
        "path": "c.toml",
        "written": True,
        "backup": "c.toml.bak",
        "text": "x = 1\n",
    }
    assert as_json(report(MAC), False, None)["calibration"] is None


def test_the_heading_names_the_machine() -> None:
    """Whoever finds the file on another machine sees that it was made elsewhere."""
    line = heading(LAPTOP, "1.2")
    assert line == "Written by asrctl detect 1.2 for: A processor, 8 usable cores, 17.2 GB of memory."
    assert heading(Machine(), "1.2").endswith("for: this machine, 1 usable core.")


def test_defaults_at_a_glance() -> None:
    """Without a config: threads that this machine has, one process, and sessions by its cores."""
    found = quick.defaults()
    assert 1 <= found.threads <= 8 and found.workers == 1
    assert 5 <= found.sessions <= 10
    assert quick.defaults(workers=2).workers == 2
