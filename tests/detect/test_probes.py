"""The probes together: one that hangs, crashes or talks nonsense costs nothing but itself."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from asrctl.detect.child import main as child_main
from asrctl.detect.inventory import find_models, loadable, provider_states
from asrctl.detect.machine import Gpu, Machine
from asrctl.detect.probes import QUICK, ProbeOptions, probe_machine
from asrctl.models.store import ModelStore
from tests.detect.conftest import HANG, Tool
from tests.detect.recorded import recording
from tests.models.mini import write_ggml

assert child_main  # its module must import without what it asks
ANSWER_S = 30.0
"""No probe of a healthy machine needs it; nothing here waits for it."""


class Spoken:
    """A child that wrote something."""

    def __init__(self, said: str) -> None:
        self.said = said

    def output(self, *, partial: bool) -> str:
        """All of it."""
        assert partial
        return self.said


def reasons(machine: Machine) -> dict[str, str]:
    """The troubles by probe."""
    return {trouble.probe: trouble.reason for trouble in machine.troubles}


@pytest.fixture
def empty(tmp_path: Path) -> ModelStore:
    """A store without models."""
    return ModelStore(tmp_path / "models")


def test_a_real_machine(empty: ModelStore) -> None:
    """Whatever this runs on: it has a system, processors, memory, and a whisper.cpp that tells its build."""
    machine = probe_machine(empty, ProbeOptions(ANSWER_S))
    assert machine.system.name in ("Linux", "macOS", "Windows") and machine.system.architecture
    assert machine.cpu.usable_cores >= 1 and machine.cpu.model
    assert machine.memory.total_bytes and machine.memory.total_bytes > 1 << 28
    assert machine.whisper is not None and machine.whisper.simd
    assert [provider.name for provider in machine.providers[:2]] == ["whisper_cpp", "faster_whisper"]


@pytest.mark.integration
def test_whisper_cpp_tells_where_it_puts_a_model(store: ModelStore, tiny_en: Path) -> None:
    """With weights in the cache it loads them in the child, and its log says where they went."""
    machine = probe_machine(store, ProbeOptions(ANSWER_S))
    assert machine.whisper and machine.whisper.in_use
    assert "tiny.en-q8_0" in {model.name for model in machine.models if model.source == "cached"}


def test_a_hanging_tool_ends_with_its_time(tool: Tool, empty: ModelStore) -> None:
    """It is told as such, and everything else is there."""
    tool("nvidia-smi", HANG)
    machine = probe_machine(empty, ProbeOptions(3.0))
    assert "3 s" in reasons(machine)["CUDA"]
    assert machine.cpu.model and machine.memory.total_bytes


def test_a_surprise_in_one_probe_is_told(empty: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others' answers come all the same."""

    def surprise(_: object) -> tuple[Gpu, ...]:
        raise KeyError("card")

    monkeypatch.setattr("asrctl.detect.gpus.parse_nvidia_driver", surprise)
    machine = probe_machine(empty, QUICK)
    assert reasons(machine)["CUDA"] == "KeyError: 'card'"
    assert machine.cpu.model


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("kill -SEGV $$", "SIGSEGV"),
        (r"printf '\377\376garbage\n'", "is not understood"),
        ("cat <<'END'\n" + recording("nvidia-smi-no-driver.txt") + "END\nexit 9", "couldn't communicate"),
        ("cat <<'END'\n" + recording("nvidia-smi-no-driver.txt") + "END", "couldn't communicate"),
    ],
)
def test_a_tool_that_fails_is_a_line_in_the_report(
    tool: Tool, empty: ModelStore, script: str, reason: str
) -> None:
    """A crash, nonsense or a missing driver is told in the tool's own words."""
    tool("nvidia-smi", script)
    machine = probe_machine(empty, ProbeOptions(ANSWER_S, ask_libraries=False))
    assert reason in reasons(machine)["CUDA"] and machine.gpus == ()


def test_cards_are_found_by_the_tool_on_path(tool: Tool, empty: ModelStore) -> None:
    """Each that it lists."""
    tool("nvidia-smi", "cat <<'END'\n" + recording("nvidia-smi-two-cards.csv") + "END")
    machine = probe_machine(empty, ProbeOptions(ANSWER_S, ask_libraries=False))
    assert machine.gpus == (Gpu("NVIDIA GeForce RTX 3090", "cuda", 24576 << 20),) * 2


@pytest.mark.skipif(sys.platform != "linux", reason="other systems are asked in another way")
def test_a_mac_by_its_own_tools(tool: Tool, empty: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path that Macs take, with what their tools print."""
    tool("sysctl", "cat <<'END'\n" + recording("macos-m3-max-sysctl.txt") + "END")
    monkeypatch.setattr("asrctl.detect.probes.platform.system", lambda: "Darwin")
    monkeypatch.setattr("asrctl.detect.probes.platform.machine", lambda: "arm64")
    machine = probe_machine(empty, ProbeOptions(ANSWER_S))
    assert machine.system.name == "macOS" and machine.cpu.model == "Apple M3 Max"
    assert machine.gpus == (Gpu("Apple M3 Max", "metal"),)
    assert machine.memory.total_bytes
    glance = probe_machine(empty, QUICK)
    assert glance.gpus == machine.gpus and glance.gpu


def test_a_glance_starts_no_child(empty: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--quick` asks neither whisper.cpp nor PortAudio, and says so by knowing nothing of them."""
    monkeypatch.setattr("asrctl.detect.probes.child", lambda *_, **__: pytest.fail("a child was started"))
    machine = probe_machine(empty, QUICK)
    assert machine.whisper is None and machine.audio_inputs is None and machine.cpu.model


@pytest.mark.skipif(sys.platform != "linux", reason="the driver's files are Linux's")
def test_a_glance_reads_the_drivers_files(
    tool: Tool, empty: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tool that hangs does not keep it waiting: it is not asked."""
    tool("nvidia-smi", HANG)
    card = tmp_path / "nvidia" / "gpus" / "0000:01:00.0" / "information"
    card.parent.mkdir(parents=True)
    card.write_text(recording("nvidia-driver-information.txt"))
    monkeypatch.setattr("asrctl.detect.probes._NVIDIA_DRIVER", tmp_path / "nvidia")
    machine = probe_machine(empty, QUICK)
    assert machine.gpus == (Gpu("NVIDIA GeForce RTX 3080", "cuda"),)
    assert reasons(machine) == {}


def test_a_glance_asks_the_tool_where_there_are_no_such_files(
    tool: Tool, empty: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On WSL and Windows the driver is another system's."""
    tool("nvidia-smi", "cat <<'END'\n" + recording("nvidia-smi-wsl2-laptop.csv") + "END")
    monkeypatch.setattr("asrctl.detect.probes.platform.system", lambda: "Windows")
    machine = probe_machine(empty, replace(QUICK, limit_s=ANSWER_S))
    assert [gpu.name for gpu in machine.gpus] == ["NVIDIA GeForce RTX 4060 Laptop GPU"]


@pytest.mark.parametrize("output", ["", "{", "[]\n", '{"error": "OSError: no PortAudio"}\n'])
def test_a_child_without_an_answer(empty: ModelStore, monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    """Half a line, nothing, or an error is a reason, and never an exception."""
    monkeypatch.setattr("asrctl.detect.probes.child", lambda *_, **__: Spoken(output))
    machine = probe_machine(empty, ProbeOptions(ANSWER_S))
    assert {"whisper.cpp", "microphones"} <= set(reasons(machine))
    assert machine.whisper is None and machine.audio_inputs is None


def test_half_of_the_childs_answers_is_better_than_none(
    empty: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash while a model loads leaves what was said before."""
    said = '{"system_info": "CPU : AVX2 = 1 | ", "log": []}\n{"system_in'
    monkeypatch.setattr("asrctl.detect.probes.child", lambda *_, **__: Spoken(said))
    machine = probe_machine(empty, ProbeOptions(ANSWER_S))
    assert machine.whisper and machine.whisper.simd == ("AVX2",)


def test_whisper_cpp_and_the_system_complete_each_other(
    tool: Tool, empty: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card that only whisper.cpp sees is there; one that both see is there once, with its memory."""
    info, *log = recording("whisper-cuda-a10.txt").splitlines()
    said = json.dumps({"system_info": info, "log": log, "inputs": []})
    monkeypatch.setattr("asrctl.detect.probes.child", lambda *_, **__: Spoken(said))
    tool("nvidia-smi", "exit 1")
    machine = probe_machine(empty, ProbeOptions(ANSWER_S))
    assert machine.gpus == (Gpu("NVIDIA A10", "cuda"),) and machine.gpu
    tool("nvidia-smi", "echo 'NVIDIA A10, 23028, 580.65.06'")
    machine = probe_machine(empty, ProbeOptions(ANSWER_S))
    assert machine.gpus == (Gpu("NVIDIA A10", "cuda", 23028 << 20),)


def test_a_damaged_model_is_told(empty: ModelStore) -> None:
    """It does not hide the good ones."""
    empty.root.mkdir()
    (empty.root / "own-bad-1.bin").write_bytes(b"not a model")
    write_ggml(empty.root / "own-good-2.bin")
    models = find_models(empty)
    assert "own-good-2" in [model.name for model in models.found]
    assert [trouble.probe for trouble in models.troubles] == ["models"]


def test_faster_whisper_takes_only_what_is_proved(empty: ModelStore) -> None:
    """Calibration must not spend its time on making or proving weights."""
    models = find_models(empty).found
    assert loadable(empty, models, "ggml") == loadable(empty, models, "ctranslate2") == []


@pytest.mark.integration
def test_faster_whisper_can_load_proved_weights(store: ModelStore, tiny_en: Path) -> None:
    """After a first use they are ready."""
    store.ct2_directory("tiny.en-q8_0")
    ready = loadable(store, find_models(store).found, "ctranslate2")
    assert "tiny.en-q8_0" in {model.name for model in ready}


def test_providers_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with what would enable it."""
    monkeypatch.setattr("asrctl.providers.plugin.is_installed", lambda _: False)
    states = {state.name: state.missing for state in provider_states()}
    assert "pip install" in states["faster_whisper"] and "scripted" not in states
