"""Voxtral when something is wrong with it: it is noticed, said with the reason, and cleaned up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrctl.errors import ProviderError
from asrctl.policy.backoff import BackoffOptions
from asrctl.providers.base import DecodeOptions, Spoken
from asrctl.providers.scripted import speak
from asrctl.providers.voxtral.model import Voxtral
from asrctl.transcript import SAMPLE_RATE_HZ

from .voxtral_standin import make_weights
from .voxtrals import PATIENCE_S, Stream, is_gone, is_over, options_for, until, words


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("kill", "killed by signal 9: about to kill"),
        ("exit", "exit code 3: about to exit"),
        ("hang", "taken no audio for 0.3 s: about to hang"),
        ("rubbish", "not text: about to rubbish"),
        ("flood", "more than the audio can hold: about to flood"),
    ],
)
def test_a_process_that_goes_wrong_is_lost_with_its_last_words(
    fault: str, reason: str, tmp_path: Path
) -> None:
    """The stream ends with the reason and the end of stderr; the process is killed and reaped."""
    options = options_for(tmp_path, {"stall_timeout_s": 0.3}, faults={"w5": fault})
    with Voxtral(options) as model:
        stream = Stream(model)
        pid = stream.session.pid
        stream.speak([1, 2, 3])
        assert stream.text() == "w1 w2 w3"
        stream.feed(np.concatenate([speak([4, 5]), np.zeros(8 * SAMPLE_RATE_HZ, np.float32)]))
        stream.session.complete()
        assert reason in stream.lost()
        assert is_gone(pid)
        stream.feed(speak([6]))
        stream.session.complete()
        stream.session.close()
        assert stream.said.empty()


def test_a_killed_process_costs_its_own_stream_only(tmp_path: Path) -> None:
    """The other stream goes on, and a new one finds a process again."""
    with Voxtral(options_for(tmp_path, {"spares": 2})) as model:
        streams = [Stream(model), Stream(model)]
        os.kill(streams[0].session.pid, signal.SIGKILL)
        assert "signal 9" in streams[0].lost()
        streams[1].speak([1])
        assert streams[1].text() == "w1"
        third = Stream(model)
        third.speak([2])
        assert third.text() == "w2"


def test_a_spare_that_dies_is_replaced(tmp_path: Path) -> None:
    """Nobody notices, and nobody is given a dead one."""
    with Voxtral(options_for(tmp_path, {})) as model:
        model.wait_ready(PATIENCE_S)
        (pid,) = model.pids()
        os.kill(pid, signal.SIGKILL)
        until(lambda: model.starts == 2)
        stream = Stream(model)
        assert stream.session.pid != pid
        stream.speak([1])
        assert stream.text() == "w1"


def test_feeding_never_waits_for_a_process_that_does_not_read(tmp_path: Path) -> None:
    """Half a minute of audio, far more than a pipe holds, is taken while the process is stopped."""
    with Voxtral(options_for(tmp_path, {"stall_timeout_s": 60.0})) as model:
        stream = Stream(model)
        os.kill(stream.session.pid, signal.SIGSTOP)
        stream.speak(range(150))
        assert stream.said.empty()
        os.kill(stream.session.pid, signal.SIGCONT)
        assert stream.text() == words(range(150))


def test_a_process_that_cannot_keep_up_is_lost_before_memory_is(tmp_path: Path) -> None:
    """What waits for it is bounded."""
    with Voxtral(options_for(tmp_path, {"max_waiting_s": 5.0, "stall_timeout_s": 60.0})) as model:
        stream = Stream(model)
        os.kill(stream.session.pid, signal.SIGSTOP)
        for _ in range(3):
            stream.speak(range(20))
        assert "more than 5 s behind" in stream.lost()
        assert is_gone(stream.session.pid)


def test_nothing_is_said_after_close(tmp_path: Path) -> None:
    """Not what was under way, and not that the process is gone."""
    with Voxtral(options_for(tmp_path, {}, step_s=0.01)) as model:
        stream = Stream(model)
        stream.speak(range(50))
        stream.next()
        stream.session.close()
        said = stream.said.qsize()
        until(lambda: is_gone(stream.session.pid))
        assert stream.said.qsize() == said
        stream.session.close()


def test_a_stream_can_be_closed_by_what_it_says(tmp_path: Path) -> None:
    """`close` from within `say` neither waits for itself nor lets more be said."""
    with Voxtral(options_for(tmp_path, {})) as model:
        model.wait_ready(PATIENCE_S)
        said, done = list[Spoken](), threading.Event()

        def say(spoken: Spoken) -> None:
            said.append(spoken)
            session.close()
            done.set()

        session = model.open(DecodeOptions(), say)
        session.feed(speak(range(20)))
        session.complete()
        assert done.wait(PATIENCE_S)
        until(lambda: is_gone(session.pid))
        assert len(said) == 1


def test_closing_the_model_leaves_no_process(tmp_path: Path) -> None:
    """Neither streams nor spares nor those that still load are left, nor their threads."""
    model = Voxtral(options_for(tmp_path, {"spares": 3}, load_s=0.1))
    stream = Stream(model)
    stream.feed(speak(range(10)))
    pids = model.pids()
    model.close()
    assert pids
    assert all(is_gone(pid) for pid in pids)
    assert not any(thread.name.startswith("voxtral") for thread in threading.enumerate())


def test_processes_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """kill -9 of the parent: their input ends, and so do they, the busy one and the spare."""
    options = options_for(tmp_path, {})
    code = (
        "import sys, time\nfrom pathlib import Path\nimport numpy as np\n"
        "from asrctl.providers.base import DecodeOptions\n"
        "from asrctl.providers.voxtral.model import Voxtral\n"
        "from asrctl.providers.voxtral.options import VoxtralOptions\n"
        f"model = Voxtral(VoxtralOptions(Path({str(options.binary)!r}), Path({str(options.model_dir)!r})))\n"
        "model.wait_ready(30)\nsession = model.open(DecodeOptions(), lambda said: None)\n"
        "session.feed(np.full(16000, 0.2, np.float32))\nmodel.wait_ready(30)\n"
        "print(*model.pids(), flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 2
    until(lambda: all(is_over(pid) for pid in pids))


# Starting.


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ({"load_error": "vox_load: failed to load decoder"}, "exit code 1: vox_load: failed to load decoder"),
        ({"load_s": 60.0}, "taken no audio for 0.6 s"),
    ],
)
def test_starts_that_fail_again_and_again_are_given_up(
    script: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    """As often as may be, with waits between; then it says so, at once and for good."""
    with Voxtral(options_for(tmp_path, {"load_timeout_s": 0.6}, **script)) as model:
        with pytest.raises(ProviderError, match="given up after 3 failures in a row") as caught:
            model.wait_ready(PATIENCE_S)
        assert reason in str(caught.value)
        assert (model.starts, model.state.name, model.pids()) == (3, "GAVE_UP", [])
        with pytest.raises(ProviderError, match="given up"):
            model.open(DecodeOptions(), print)


def test_between_failures_it_says_why_it_waits(tmp_path: Path) -> None:
    """While a start is being waited for, the last failure is the reason."""
    restarts = BackoffOptions(first_s=60.0, max_s=60.0, max_attempts=3)
    options = options_for(tmp_path, {"restarts": restarts}, load_error="no memory")
    with Voxtral(options) as model:
        until(lambda: model.state.name == "WAITING")
        with pytest.raises(ProviderError, match=r"starting again after it failed: .*no memory"):
            model.open(DecodeOptions(), print)


def test_a_process_that_dies_of_what_it_hears_is_given_up(tmp_path: Path) -> None:
    """Loading is no success: three deaths with nothing completed are three failures in a row."""
    with Voxtral(options_for(tmp_path, {}, faults={"w1": "exit"})) as model:
        for _ in range(3):
            stream = Stream(model)
            stream.speak([1])
            assert "exit code 3" in stream.lost()
        until(lambda: model.state.name == "GAVE_UP")


def test_an_utterance_done_forgives_earlier_deaths(tmp_path: Path) -> None:
    """Streams that work between the deaths keep it going, however many there are."""
    with Voxtral(options_for(tmp_path, {})) as model:
        for number in range(6):
            stream = Stream(model)
            stream.speak([number])
            assert stream.text() == f"w{number}"
            os.kill(stream.session.pid, signal.SIGKILL)
            assert "signal 9" in stream.lost()
            assert model.state.name != "GAVE_UP"


def test_a_missing_program_is_named_at_once(tmp_path: Path) -> None:
    """With what to do about it."""
    options = options_for(tmp_path, {"binary": tmp_path / "nowhere"})
    with pytest.raises(ProviderError, match=r"no program .*nowhere: build voxtral\.c"):
        Voxtral(options)


def test_a_program_that_is_not_executable_is_named_at_once(tmp_path: Path) -> None:
    """With what to do about it."""
    options = options_for(tmp_path, {})
    options.binary.chmod(0o644)
    with pytest.raises(ProviderError, match=r"not executable: chmod \+x"):
        Voxtral(options)


def test_a_missing_directory_of_weights_is_named_at_once(tmp_path: Path) -> None:
    """Before a process is started for nothing."""
    options = options_for(tmp_path, {"model_dir": tmp_path / "nowhere"})
    with pytest.raises(ProviderError, match=r"no directory .*nowhere with voxtral's weights"):
        Voxtral(options)


def test_a_program_for_another_machine_is_not_tried_twice(tmp_path: Path) -> None:
    """The system refuses it, and would each time."""
    options = options_for(tmp_path, {})
    options.binary.write_bytes(b"\x7fELF\xff\xff\xff\xff")
    with Voxtral(options) as model:
        with pytest.raises(ProviderError, match="built for another kind of machine"):
            model.wait_ready(PATIENCE_S)
        assert (model.starts, model.state.name) == (1, "GAVE_UP")


@pytest.mark.parametrize(
    ("file", "size_bytes", "complaint"),
    [
        ("consolidated.safetensors", 2_000_000_000, r"cut off: it has 2,000,000,000 of at least 8,860"),
        ("tekken.json", 1000, r"tekken\.json is cut off: it has 1,000"),
        ("params.json", None, r"params\.json is missing"),
    ],
)
def test_weights_that_are_not_whole_are_named_when_loading_fails(
    file: str, size_bytes: int | None, complaint: str, tmp_path: Path
) -> None:
    """The program says little; the likeliest cause is added."""
    options = options_for(tmp_path, {}, load_error="" if "consolidated" in file else "cannot load")
    path = make_weights(options.model_dir) / file
    if size_bytes is None:
        path.unlink()
    else:
        os.truncate(path, size_bytes)
    with Voxtral(replace(options, restarts=BackoffOptions(max_attempts=1))) as model:
        with pytest.raises(ProviderError, match="Failed to load model") as caught:
            model.wait_ready(PATIENCE_S)
        caught.match(complaint)


def test_lost_is_said_once_and_last(tmp_path: Path) -> None:
    """Utterances that were waiting are not completed after it."""
    with Voxtral(options_for(tmp_path, {}, faults={"w3": "kill"})) as model:
        stream = Stream(model)
        for number in range(1, 6):
            stream.speak([number])
        assert [stream.text(), stream.text()] == ["w1", "w2"]
        stream.lost()
        model.wait_ready(PATIENCE_S)
        assert stream.said.empty()
