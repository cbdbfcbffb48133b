"""A folder on two Ray nodes, one of which is killed half-way, against one process with as many workers.

python -m benchmarks.batch --corpus benchmark-corpus     # Linux: the nodes are in a network namespace
python -m benchmarks.batch --simulate                    # up to 1,000 nodes, with the costs measured

Every result has to be there, written once, and word for word that of one process. The speed is compared with
that of one process with as many workers as there are slots at each moment: two of them, then one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.batch_simulation import FILES, HOURS, Costs, efficiency, lengths
from benchmarks.common import (
    CORPUS,
    RESULTS,
    SAMPLE_RATE_HZ,
    Table,
    machine,
    note,
    read_manifest,
    read_wav,
    save,
    silence,
    table,
    write_wav,
)

NODES = (1, 10, 100, 1000)
SLOTS_OF_A_NODE = 2
_FEWER = 5
"""One worker alone transcribes a fifth of the files."""
_TASKS = 400
_LONG_S = 180.0
_RESULTS = 50


def folder_of(corpus: Path, folder: Path, files: int, length_s: float) -> float:
    """Write files of about this length, made of the corpus's short clips; returns seconds in all."""
    rng = np.random.default_rng(1)
    clips = [clip for clip in read_manifest(corpus) if not clip.synthetic and clip.duration_s < length_s]
    folder.mkdir(parents=True)
    total_s, at = 0.0, 0
    for number in range(files):
        parts, part_s = [silence(0.3, rng)], 0.0
        while part_s < length_s:
            clip = clips[at % len(clips)]
            parts += [read_wav(corpus / clip.file), silence(0.5, rng)]
            part_s += clip.duration_s + 0.5
            at += 1
        total_s += write_wav(folder / f"{number:04}.wav", parts)
    return total_s


def transcribed(folder: Path, out: Path, *options: str) -> list[str]:
    """The command that transcribes a folder."""
    command = [sys.executable, "-m", "asrctl", "transcribe", str(folder), "--output-dir", str(out)]
    return [*command, "--threads", "1", *options]


def alone(folder: Path, out: Path, workers: int, provider: str) -> dict[str, Any]:
    """One process with so many workers."""
    from tests.cluster.nodes import watched

    how = ["--provider", provider, "--workers", str(workers), "--jobs", str(workers)]
    return watched(transcribed(folder, out, *how), out)


def on_nodes(
    folder: Path, out: Path, lose_after: int, provider: str
) -> tuple[dict[str, Any], dict[str, float]]:
    """Two nodes, of which one is killed after so many results; what happened, and what tasks cost there."""
    from tests.cluster.nodes import ADDRESS, isolated

    costs = out.parent / "costs.json"
    command = shlex.join(transcribed(folder, out, "--provider", provider, "--cluster", ADDRESS))
    measure = f"{shlex.quote(sys.executable)} -m benchmarks.batch --costs >{shlex.quote(str(costs))}"
    both = ["sh", "-c", f"{command}; code=$?; {measure}; exit $code"]
    nodes = [sys.executable, "-m", "tests.cluster.nodes", "--lose-after", str(lose_after), str(out), "--"]
    ran = subprocess.run(isolated([*nodes, *both]), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ran.stdout), json.loads(costs.read_text())


def span_s(run: dict[str, Any]) -> float:
    """From the first result to the last."""
    return float(max(run["written_s"]) - min(run["written_s"]))


def rate(run: dict[str, Any]) -> float:
    """Files a second, without what comes before the first result."""
    return (len(run["written_s"]) - 1) / span_s(run)


def share_of_ideal(run: dict[str, Any], two: dict[str, Any], one: dict[str, Any]) -> float:
    """Results, of those that two workers would have had until the node was lost, and one from then on."""
    first_s, last_s = min(run["written_s"]), max(run["written_s"])
    ideal = rate(two) * (run["lost_s"] - first_s) + rate(one) * (last_s - run["lost_s"])
    return float((len(run["written_s"]) - 1) / ideal)


def differing(one: Path, other: Path) -> list[str]:
    """Names of transcripts that are not the same, or missing."""
    texts = [{path.name: path.read_text() for path in out.iterdir()} for out in (one, other)]
    return sorted(name for name in {*texts[0], *texts[1]} if texts[0].get(name) != texts[1].get(name))


# Costs


def answer(value: object) -> int:
    """A task that does nothing."""
    return 0


async def task_costs() -> dict[str, float]:
    """What tasks cost besides their work, measured from this process, which is connected."""
    from asrctl.cluster.on_ray import OnRay

    ray, piece = OnRay(1), np.zeros(round(600 * SAMPLE_RATE_HZ), np.float32)
    await asyncio.gather(*[ray.run(answer, 0) for _ in range(_TASKS // 4)])
    submit_s = await _timed(asyncio.gather(*[ray.run(answer, 0) for _ in range(_TASKS)])) / _TASKS
    singles = [await _timed(ray.run(answer, 0)) for _ in range(50)]
    pieces = [await _timed(ray.run(answer, piece)) for _ in range(10)]
    return {"submit": submit_s, "task": float(np.median(singles)), "piece": float(np.median(pieces))}


async def _timed(task: Any) -> float:
    started_s = time.perf_counter()
    await task
    return time.perf_counter() - started_s


def audio_costs(corpus: Path) -> dict[str, float]:
    """What a second of a long recording costs in one thread; and to load the model, and to write a result."""
    from asrctl import Engine
    from asrctl.from_settings import speech_detector
    from asrctl.recordings import opened
    from asrctl.render.formats import WRITERS
    from asrctl.render.options import RenderOptions
    from asrctl.render.output import Output
    from asrctl.settings import Settings

    samples = read_wav(corpus / "long_a.wav")[: round(_LONG_S * SAMPLE_RATE_HZ)]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "long.wav")
        write_wav(path, [samples])
        started_s, detector = time.perf_counter(), speech_detector(Settings().vad)
        with closing(opened(path)) as audio:
            for chunk in audio:
                detector.probabilities(chunk)
        read_s = time.perf_counter() - started_s
        with Engine(workers=1, threads=1) as engine:
            transcript = engine.transcribe(path)
        started_s = time.perf_counter()
        for number in range(_RESULTS):
            with Output(Path(directory, f"{number}.txt"), whole=True) as output:
                writer = WRITERS["txt"](output, RenderOptions())
                for segment in transcript.segments:
                    writer.segment(segment)
                writer.finish(transcript)
        write_s = (time.perf_counter() - started_s) / _RESULTS
    timing = transcript.timing
    costs = {"read": read_s / _LONG_S, "decode": timing.inference_s / _LONG_S}
    return {**costs, "load": timing.load_s, "write": write_s}


# Output


def simulated(costs: Costs) -> Table:
    """Efficiency by number of nodes."""
    recordings, rows = lengths(), []
    for nodes in NODES:
        slots = nodes * SLOTS_OF_A_NODE
        both = [efficiency(recordings, slots, costs, cut=cut) for cut in (True, False)]
        rows.append([f"{nodes:,}", f"{slots:,}", *(f"{100 * each:.1f}" for each in both)])
    title = f"Simulated: {FILES:,} recordings, {HOURS:,.0f} h, the longest {max(recordings) / 3600:.1f} h"
    return table(["nodes", "slots", "efficiency in pieces, %", "by whole recordings, %"], rows, title)


def measured(options: argparse.Namespace) -> tuple[dict[str, Any], list[Table]]:
    """All runs, and their tables."""
    corpus, files, length_s, provider = options.corpus, options.files, options.seconds, options.provider
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        audio_s = folder_of(corpus, root / "in", files, length_s)
        folder_of(corpus, root / "fewer", files // _FEWER, length_s)
        note(f"{files} files, {audio_s:.0f} s")
        two, one = (alone(root / name, root / out, n, provider) for name, out, n in _ALONE)
        note(f"one process: {rate(two):.2f} files/s with two workers, {rate(one):.2f} with one")
        run, tasks = on_nodes(root / "in", root / "nodes", files // 2, provider)
        different = differing(root / "two", root / "nodes")
    share = share_of_ideal(run, two, one)
    header = ["files", "s of audio", "results", "twice", "differing", "s to the kill", "s in all", "ideal, %"]
    row = [files, audio_s, len(run["written_s"]), len(run["twice"]), len(different)]
    row += [run["lost_s"] - run["started_s"], max(run["written_s"]) - run["started_s"], 100 * share]
    speeds = [["one process, 2 workers", rate(two)], ["one process, 1 worker", rate(one)]]
    halves = [at - run["lost_s"] for at in run["written_s"]]
    before, after = sum(at <= 0 for at in halves), sum(at > 0 for at in halves)
    speeds += [["2 nodes", (before - 1) / -min(halves)], ["1 node left", after / max(halves)]]
    costs = {**tasks, **audio_costs(corpus)}
    killed = table(header, [row], "One of two nodes killed half-way")
    tables = [killed, table(["", "files/s"], speeds, "Speed")]
    return {"two": two, "one": one, "nodes": run, "different": different, "costs": costs}, tables


_ALONE = (("in", "two", 2), ("fewer", "one", 1))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 1 if a result is missing, was written twice, or differs."""
    options = _parser().parse_args(arguments)
    if options.costs:
        from asrctl.cluster.on_ray import connected
        from tests.cluster.nodes import ADDRESS

        with connected(ADDRESS):
            print(json.dumps(asyncio.run(task_costs())))
        return 0
    if options.simulate:
        kept = json.loads((RESULTS / "batch.json").read_text(encoding="utf-8"))
        print(simulated(Costs(**kept["data"]["costs"])))
        return 0
    from tests.cluster.nodes import why_not

    if reason := why_not():
        note(reason)
        return 2
    about = machine()
    data, tables = measured(options)
    tables.append(simulated(costs := Costs(**data["costs"])))
    tables.append(table(["cost", "seconds"], asdict(costs).items(), "Costs, of a second of audio or a task"))
    print(*tables, sep="\n\n")
    if options.output:
        save("batch", {"machine": about, **data}, *tables)
    run = data["nodes"]
    whole = run["code"] == 0 and len(run["written_s"]) == options.files
    return int(not whole or bool(run["twice"] or data["different"]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="made by benchmarks.corpus")
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=4.0, help="least length of a file")
    parser.add_argument("--provider", default="auto", help="a faster one makes what Ray adds weigh more")
    parser.add_argument("--simulate", action="store_true", help="only that, with the costs in results/")
    parser.add_argument("--costs", action="store_true", help="what tasks cost on a cluster that is there")
    parser.add_argument("--output", action="store_true", help="keep it in results/batch.json")
    return parser


if __name__ == "__main__":
    sys.exit(main())
