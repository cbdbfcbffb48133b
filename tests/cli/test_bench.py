"""`asrctl bench`: the commands with the scripted provider; once with a real model. No time is judged."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asrctl.policy.admission import AdmissionOptions
from asrctl_tests.scripted import speak
from tests.streaming.speech import LevelDetector, silence

from .commands import asrctl, run

WORDS = " ".join(f"w{n}" for n in range(8))


@pytest.fixture(autouse=True)
def levels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Levels count as speech in this process."""

    def detector(_weights: object) -> LevelDetector:
        return LevelDetector()

    monkeypatch.setattr("asrctl.audio.vad.SileroVad", detector)


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Four words, a pause, four words: 3.2 s."""
    path = tmp_path / "speech.wav"
    parts = [silence(0.3), speak(range(4)), silence(0.8), speak(range(4, 8)), silence(0.5)]
    soundfile.write(path, np.concatenate(parts), 16_000, subtype="FLOAT")
    return path


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    """What is said in it."""
    path = tmp_path / "speech.txt"
    path.write_text(WORDS)
    return path


@pytest.fixture
def script(tmp_path: Path) -> str:
    """Weights of the scripted provider."""
    path = tmp_path / "script.json"
    path.write_text("{}")
    return str(path)


Document = Callable[..., dict[str, Any]]


@pytest.fixture
def document(capsys: pytest.CaptureFixture[str]) -> Document:
    """Runs a benchmark with --json and gives what it printed."""

    def of(*args: str) -> dict[str, Any]:
        assert run("bench", *args, "--json") == 0
        captured = capsys.readouterr()
        found: dict[str, Any] = json.loads(captured.out)
        assert found["schema"] == 1
        return found

    return of


def test_rtf_measures_every_combination(
    speech: Path, reference: Path, script: str, document: Document
) -> None:
    """Each in each round, with all its figures; machine, versions and audio are in the record."""
    chosen = ("--models", script, "--providers", "scripted", "--threads", "1,2", "--workers", "1,2")
    found = document("rtf", str(speech), "--reference", str(reference), *chosen, "--rounds", "2")
    names = [row["name"] for row in found["rows"]]
    assert names == [f"script.json scripted {workers}x{threads}" for workers in (1, 2) for threads in (1, 2)]
    for row in found["rows"]:
        assert len(row["rounds"]) == 2
        figures = row["figures"]
        assert figures["wer_percent"] == figures["dropped_s"] == 0
        assert all(figures[key] > 0 for key in ("rtf", "cpu_per_audio_s", "peak_rss_mb", "load_s"))
        assert figures["window_p50_s"] <= figures["window_p95_s"]
        assert 0 <= figures["busy_share"] <= 1
    assert found["audio"] == {
        "name": "speech.wav",
        "duration_s": 3.2,
        "builtin": False,
        "has_reference": True,
    }
    assert found["machine"]["cpu"]["usable_cores"] >= 1
    assert "asrctl" in found["versions"]


def test_rtf_counts_word_errors(speech: Path, tmp_path: Path, script: str, document: Document) -> None:
    """One word of eight that was not said is 12.5 %."""
    other = tmp_path / "other.txt"
    other.write_text(WORDS.replace("w3", "w33"))
    found = document(
        "rtf",
        *(str(speech), "--reference", str(other), "--rounds", "1"),
        *("--models", script, "--providers", "scripted"),
    )
    assert found["rows"][0]["figures"]["wer_percent"] == 12.5


def test_rtf_prints_a_table_and_draws_a_plot(
    speech: Path, reference: Path, script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table goes to standard output; the plot names what was measured."""
    svg = tmp_path / "plot.svg"
    chosen = ("--models", script, "--providers", "scripted", "--rounds", "1", "--plot", str(svg))
    assert run("bench", "rtf", str(speech), "--reference", str(reference), *chosen) == 0
    header, line = capsys.readouterr().out.splitlines()
    assert "RTF" in header and "peak MB" in header
    assert line.startswith("script.json scripted 1x")
    assert "script.json scripted 1x" in svg.read_text()


def test_builtin_speech_is_said_to_be_that(script: str, document: Document) -> None:
    """A reader is told that a recording would tell more."""
    found = document("rtf", "--models", script, "--providers", "scripted", "--rounds", "1")
    assert found["audio"]["builtin"]
    assert any("built-in" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["rtf", "--reference", "x.txt"], "name one"),
        (["rtf", "-"], "only once"),
        (["rtf", "--threads", "1,two"], "'two' is not a number"),
        (["rtf", "--workers", "0"], "'0' is not a number"),
        (["stream", "--find", "--sessions", "2"], "--find"),
        (["stream", "--sessions", "100"], "'100' is not a number"),
        (["stream", "--server", "ws://127.0.0.1:1", "--threads", "2"], "--threads is up to the server"),
        (["stream", "--server", "127.0.0.1"], "no address of a server"),
        (["compare", "none.json", "none.json"], "none.json"),
        (["rtf", "--plot", "x.docx"], ".svg, .png, .pdf"),
    ],
)
def test_mistakes_are_told_in_one_line(
    args: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit code 2, before anything is measured."""
    assert run("bench", *args) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert says in captured.err
    assert len(captured.err.splitlines()) == 1


def test_a_plot_needs_word_errors(speech: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which need a reference."""
    assert run("bench", "rtf", str(speech), "--plot", "x.svg") == 2
    assert "--reference" in capsys.readouterr().err


def test_a_reference_is_for_all_of_a_file(
    speech: Path, reference: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where only a part is to be played, it is refused and not counted as errors."""
    assert run("bench", "stream", str(speech), "--reference", str(reference), "--seconds", "2") == 2
    assert "--seconds 3 or more" in capsys.readouterr().err


def test_an_unreadable_reference_is_told(speech: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its name."""
    assert run("bench", "rtf", str(speech), "--reference", "none.txt") == 2
    assert "none.txt: No such file" in capsys.readouterr().err


def test_stream_measures_numbers_of_sessions(
    speech: Path, reference: Path, script: str, document: Document
) -> None:
    """Every word of every session, in time, with nothing unaccounted for; paced and unpaced agree."""
    found = document(
        "stream",
        *(str(speech), "--reference", str(reference), "--sessions", "1,2", "--target", "30"),
        *("--model", script, "--provider", "scripted"),
    )
    assert [row["setup"]["sessions"] for row in found["rows"]] == [1, 2]
    for row in found["rows"]:
        figures = row["figures"]
        assert figures["utterances"] == 2 * row["setup"]["sessions"]
        assert figures["wer_percent"] == figures["unpaced_wer_percent"] == 0
        assert figures["wer_against_unpaced_percent"] == 0
        assert figures["dropped_s"] == figures["undeclared_s"] == figures["restarts"] == 0
        assert figures["final_p50_s"] <= figures["final_p95_s"] <= figures["final_p99_s"]
        assert figures["partials_per_utterance"] > 0
        assert figures["word_lag_p50_s"] <= figures["word_lag_p95_s"]
    assert found["target"] == {"final_p95_s": 30.0, "met_by": [1, 2]}


def test_stream_feeds_providers_that_are_streams(
    speech: Path, reference: Path, script: str, document: Document
) -> None:
    """They load no model of ours, and are measured all the same; what decodes files only is not for them."""
    provider = ("--model", script, "--provider", "scripted_stream")
    found = document("stream", str(speech), "--reference", str(reference), "--target", "30", *provider)
    (row,) = found["rows"]
    assert row["setup"]["provider"].endswith("scripted_stream")
    figures = row["figures"]
    assert figures["utterances"] == 2
    assert figures["wer_percent"] == figures["wer_against_unpaced_percent"] == 0
    assert figures["dropped_s"] == figures["undeclared_s"] == 0
    assert figures["partials_per_utterance"] > 0


def test_rtf_names_what_measures_streams(script: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says which command to take."""
    assert run("bench", "rtf", "--models", script, "--providers", "scripted_stream") == 2
    assert "asrctl bench stream" in capsys.readouterr().err


def test_stream_plays_to_a_server(
    speech: Path, reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same figures, from a server that runs; `--find` stops where it lets nobody in any more."""
    pytest.importorskip("starlette")
    from tests.server.servers import options_for, running
    from tests.server.servers import script as server_script

    options = options_for(server_script(tmp_path / "words.json"), admission=AdmissionOptions(max_sessions=1))
    with running(options) as server:
        heard = (str(speech), "--reference", str(reference), "--server", server.url, "--target", "30")
        assert run("bench", "stream", *heard, "--find", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["target"] == {"final_p95_s": 30.0, "met_by": [1], "most_sessions": 1}
    one, two = found["rows"]
    assert (one["setup"]["sessions"], two["setup"]["sessions"]) == (1, 2)
    assert one["setup"]["server"] == server.url
    assert one["figures"]["wer_percent"] == one["figures"]["undeclared_s"] == 0
    assert two["figures"]["refused"] == 1


def test_stream_draws_on_the_screen_and_into_a_file(
    speech: Path, script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bars go to standard error, so that JSON stays JSON."""
    chosen = (str(speech), "--model", script, "--provider", "scripted")
    assert run("bench", "stream", *chosen, "--plot", "-", "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["bench"] == "stream"
    assert "█" in captured.err and "1 sessions, final" in captured.err
    svg = tmp_path / "late.svg"
    assert run("bench", "stream", *chosen, "--plot", str(svg)) == 0
    assert "live sessions at once" in svg.read_text()


def test_stream_declares_what_the_model_refuses(
    speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Drops are shown, are no secret, and miss the target."""
    path = tmp_path / "refuses.json"
    path.write_text(json.dumps({"refuse_on": ["w5"]}))
    chosen = ("--model", str(path), "--provider", "scripted")
    assert run("bench", "stream", str(speech), *chosen, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    figures = found["rows"][0]["figures"]
    assert figures["dropped_s"] > 0
    assert figures["undeclared_s"] == 0
    assert found["target"]["met_by"] == []


def test_find_says_how_many_meet_the_target(
    speech: Path, script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All numbers that were tried are shown, with the highest that met it."""
    monkeypatch.setattr("asrctl.bench.stream.MOST_SESSIONS", 2)
    chosen = ("--model", script, "--provider", "scripted", "--target", "30")
    assert run("bench", "stream", str(speech), "--find", *chosen) == 0
    out = capsys.readouterr().out
    assert "up to 2 sessions" in out
    assert "1 sessions" in out and "2 sessions" in out


def test_compare_says_what_differs(
    speech: Path, script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a table and as JSON; a result does not differ from itself."""
    chosen = ("--models", script, "--providers", "scripted", "--rounds", "7", "--threads", "1")
    assert run("bench", "rtf", str(speech), *chosen, "--json") == 0
    before = json.loads(capsys.readouterr().out)
    for each in before["rows"][0]["rounds"]:
        each["rtf"] = 0.1
    (tmp_path / "a.json").write_text(json.dumps(before))
    for each in before["rows"][0]["rounds"]:
        each["rtf"] = 0.11
    (tmp_path / "b.json").write_text(json.dumps(before))
    assert run("bench", "compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")) == 0
    out = capsys.readouterr().out
    assert "10.0% more" in out
    assert out.count("no difference seen") >= 3
    assert run("bench", "compare", str(tmp_path / "a.json"), str(tmp_path / "a.json"), "--json") == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["verdict"] for row in rows} == {"no difference seen"}


def test_compare_draws_beside_its_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each ratio with its interval, on standard error or in a file."""
    row = {"name": "tiny", "setup": {}, "rounds": [{"rtf": 0.1}] * 7}
    document = {"schema": 1, "bench": "rtf", "audio": {}, "machine": {}, "notes": [], "rows": [row]}
    (path := tmp_path / "a.json").write_text(json.dumps(document))
    svg = tmp_path / "ratios.svg"
    for plot in ("-", str(svg)):
        assert run("bench", "compare", str(path), str(path), "--json", "--plot", plot) == 0
        captured = capsys.readouterr()
        assert json.loads(captured.out)["bench"] == "compare"
        assert ("no difference seen" in captured.err) == (plot == "-")
    assert "tiny: rtf" in svg.read_text()


def test_coldstart_parts_add_up(script: str, tmp_path: Path, document: Document) -> None:
    """Each start has its parts, also in the picture; the cold one where the system can forget a file."""
    svg = tmp_path / "start.svg"
    chosen = ("--model", script, "--provider", "scripted", "--rounds", "1", "--plot", str(svg))
    found = document("coldstart", *chosen)
    assert svg.read_text().count(": load") == len(found["rows"])
    assert found["rows"][0]["setup"]["weights"] == "warm"
    for row in found["rows"]:
        figures = row["figures"]
        assert figures["interpreter_s"] > 0
        assert figures["first_words_s"] >= figures["ready_s"] >= figures["warm_up_s"]


@pytest.mark.integration
@pytest.mark.timeout(360)
def test_a_real_model_is_measured(tiny_en: Path) -> None:
    """It decodes the built-in speech; memory is that of all processes.

    With one thread: on a busy machine several wait for each other most of the time.
    """
    command = ["bench", "rtf", "--models", str(tiny_en), "--rounds", "1", "--threads", "1", "--json"]
    done = asrctl(command, timeout_s=300)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)["rows"][0]["figures"]
    assert figures["wer_percent"] < 50
    assert figures["peak_rss_mb"] > 100
    assert figures["rtf"] > 0


def test_speakers_needs_a_reference_with_turns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A reference that is missing, or in which nobody speaks, is a mistake; one thread is measured."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    (tmp_path / "empty.rttm").write_text("")
    for name in ("none.rttm", "empty.rttm"):
        assert run("bench", "speakers", "a.wav", "--reference", str(tmp_path / name)) == 2
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
