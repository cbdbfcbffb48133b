"""The container that ships: built with the wheel of this checkout, its size, and a transcript from it.

python -m benchmarks.container --output

It runs as compose.yaml runs it: not as root, read-only but for /tmp, without rights; here on loopback. Its
health check is run, too. Needs podman or docker, and an image to start from; `--base` names another than the
Containerfile.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from benchmarks.common import machine, note, save, table
from benchmarks.install import ROOT, SPEECH, TEXT, built

CONTAINERFILE = ROOT / "asrctl" / "deploy" / "Containerfile"
NAME = "asrctl-benchmark"
KEY = secrets.token_hex(16)
ADDRESS = "http://127.0.0.1:8765"
_LIMITS = "--read-only --tmpfs /tmp --cap-drop all --security-opt no-new-privileges --stop-timeout 20"
_START_S = 120.0


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.container", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--engine", default="podman", help="or docker")
    parser.add_argument("--base", default=re.findall(r"^ARG BASE=(\S+)$", CONTAINERFILE.read_text(), re.M)[0])
    parser.add_argument("--output", action="store_true", help="keep the figures in results/")
    options = parser.parse_args(arguments)
    engine, about = options.engine, machine()
    build_s = build(engine, options.base)
    sizes_mb = [
        int(said(engine, "image", "inspect", "-f", "{{.Size}}", name)) / 1e6 for name in (NAME, options.base)
    ]
    with started(engine) as ready_s:
        note(f"ready after {ready_s:.1f} s; its user: {said(engine, 'exec', NAME, 'id', '-u')}")
        check_read_only(engine)
        check_health(engine)
        command = [sys.executable, "-m", "asrctl", "transcribe", "-q", "--server"]
        text = said(*command, ADDRESS.replace("http", "ws"), str(SPEECH), ASRCTL_API_KEY=KEY)
        if text != TEXT:
            raise RuntimeError(f"another text: {text!r}")
        memory_mb = float(re.findall(r"^asrctl_memory_bytes\S* (\S+)$", page("/metrics"), re.M)[0]) / 1e6
        said(engine, "stop", NAME)
        code = int(said(engine, "inspect", "-f", "{{.State.ExitCode}}", NAME))
    header = [
        "image MB",
        "of it the base",
        "s to build",
        "s to ready",
        "RSS MB after a transcript",
        "exit code",
    ]
    shown = table(header, [[*sizes_mb, build_s, ready_s, memory_mb, code]])
    print(shown)
    if options.output:
        save("container", {"machine": about, "base": options.base, "user": "10001"}, shown)
    return code


def said(*command: str, **environ: str) -> str:
    """What a command prints."""
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **environ}
    )
    return done.stdout.strip()


def build(engine: str, base: str) -> float:
    """Make the image; returns its seconds."""
    with tempfile.TemporaryDirectory() as context:
        built(Path(context))
        started_s = time.perf_counter()
        arguments = ["--build-arg", f"BASE={base}", "-t", NAME, "-f", str(CONTAINERFILE), context]
        environ = {**os.environ, "BUILDAH_FORMAT": "docker"}  # the other format has no health checks
        subprocess.run([engine, "build", *arguments], check=True, stdout=sys.stderr, env=environ)
        return time.perf_counter() - started_s


@contextmanager
def started(engine: str) -> Iterator[float]:
    """A container; gives the seconds until speech was decoded in it."""
    started_s = time.perf_counter()
    names = ("ASRCTL_API_KEY", "ASRCTL_SERVE__HOST")
    variables = [word for name in names for word in ("-e", name)]
    environ = {"ASRCTL_API_KEY": KEY, "ASRCTL_SERVE__HOST": "127.0.0.1"}
    said(
        engine,
        "run",
        "-d",
        "--network",
        "host",
        "--name",
        NAME,
        *_LIMITS.split(),
        *variables,
        NAME,
        **environ,
    )
    try:
        while not page("/ready"):
            if time.perf_counter() - started_s > _START_S:
                raise RuntimeError(said(engine, "logs", NAME))
            time.sleep(0.05)
        yield time.perf_counter() - started_s
    finally:
        said(engine, "rm", "-f", NAME)


def page(path: str) -> str:
    """A page of the server; empty while it gives none."""
    try:
        with urlopen(
            Request(ADDRESS + path, headers={"Authorization": f"Bearer {KEY}"}), timeout=5
        ) as answer:
            return bytes(answer.read()).decode()
    except (URLError, OSError):
        return ""


def check_health(engine: str) -> None:
    """Run the image's own check in it; raises CalledProcessError if it is not well."""
    [_, *check] = json.loads(said(engine, "inspect", "-f", "{{json .Config.Healthcheck.Test}}", NAME))
    said(engine, "exec", NAME, *check)


def check_read_only(engine: str) -> None:
    """Raise RuntimeError where /tmp cannot be written, or the program can."""
    for path, writable in (("/tmp/probe", True), ("/opt/asrctl/probe", False)):
        done = subprocess.run([engine, "exec", NAME, "touch", path], stderr=subprocess.DEVNULL)
        if (done.returncode == 0) != writable:
            raise RuntimeError(f"{path} can{'not' if writable else ''} be written")


if __name__ == "__main__":
    sys.exit(main())
