"""`asrctl bench speakers`: how well speakers are told apart by voice."""

from __future__ import annotations

import os
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asrctl.errors import UsageError

if TYPE_CHECKING:
    from asrctl.policy.turns import Turn
    from asrctl.speakers.networks import Networks

_COLLAR_S = 0.25


def bench_speakers(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording of several people.")],
    reference: Annotated[
        Path, typer.Option("--reference", "-r", metavar="RTTM", help="Who spoke when, in truth.")
    ],
    speakers: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=100, help="How many there are at most.")
    ] = None,
) -> None:
    """Measure the diarization error rate on a recording; prints JSON.

    Overlapping speech is scored, without a collar and with one of 0.25 s; online as windows come, and
    offline, clustered again at the end.

    Example: asrctl bench speakers meeting.wav --reference meeting.rttm
    """
    for package, extra in (("onnxruntime", "speakers"), ("scipy", "compare")):
        if find_spec(package) is None:
            raise UsageError(f"bench speakers needs {package}: pip install 'asrctl[{extra}]'")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy, as `speakers.child`
    import psutil

    from asrctl.bench.rttm import read_rttm
    from asrctl.cli.bench_view import print_json
    from asrctl.models.store import ModelStore
    from asrctl.settings import load
    from asrctl.speakers.child import networks_in

    truth = read_rttm(reference)
    if not truth:
        raise UsageError(f"{reference} holds no turns")
    root = ModelStore(load(None).settings.models_dir).root
    process = psutil.Process()
    before_bytes = process.memory_info().rss
    rows = _measure(networks_in(str(root)), file, truth, speakers)
    memory_mb = round((process.memory_info().rss - before_bytes) / 1e6, 1)
    print_json({"schema": 1, "bench": "speakers", "memory_mb": memory_mb, "rows": rows})


def _measure(networks: Networks, file: Path, truth: list[Turn], speakers: int | None) -> list[dict[str, Any]]:
    from asrctl.audio.files import open_audio
    from asrctl.policy.clustering import ClusteringOptions
    from asrctl.speakers.diarizer import Diarizer, DiarizerOptions
    from asrctl.transcript import SAMPLE_RATE_HZ

    diarizer = Diarizer(networks, DiarizerOptions(ClusteringOptions(speakers)))
    samples = 0
    cpu_s = 0.0
    with open_audio(str(file)) as audio:
        for chunk in audio:
            samples += len(chunk)
            started_s = time.process_time()
            diarizer.feed(chunk)
            cpu_s += time.process_time() - started_s
    started_s = time.process_time()
    diarizer.catch_up()
    rows = []
    for name, step in (("online", None), ("offline", diarizer.recluster)):
        if step:
            step()
        turns = diarizer.turns()
        spent_s = cpu_s + time.process_time() - started_s
        cost = {"cpu_per_audio_s": round(spent_s * SAMPLE_RATE_HZ / max(1, samples), 4)}
        rows.append({"name": name, **_figures(truth, turns), **cost})
    return rows


def _figures(truth: list[Turn], turns: list[Turn]) -> dict[str, Any]:
    from asrctl.bench.der import diarization_errors

    strict, mild = diarization_errors(truth, turns), diarization_errors(truth, turns, _COLLAR_S)
    return {
        "der": round(strict.rate, 4),
        "der_collar": round(mild.rate, 4),
        "speech_s": round(strict.speech_s, 2),
        "missed_s": round(strict.missed_s, 2),
        "false_s": round(strict.false_s, 2),
        "confused_s": round(strict.confused_s, 2),
        "speakers": len({turn.speaker for turn in turns}),
        "speakers_reference": len({turn.speaker for turn in truth}),
    }
