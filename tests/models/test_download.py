"""Downloads by the real huggingface_hub, from a server that behaves, fails or lies.

It reads its environment when it is imported, so each pull is a process of its own.
"""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from ast import literal_eval
from collections.abc import Iterator
from pathlib import Path

import pytest

from asrctl.errors import ModelError
from asrctl.models import download

from .hub import COMMIT, Hub, serving

CONTENT = bytes(range(256)) * 4096
LONG = CONTENT * 24
"""Huggingface_hub resumes after whole pieces of 10 MB."""
PULL = """
import sys
from dataclasses import replace
from pathlib import Path
from asrctl.errors import ModelError
from asrctl.models.catalog import CATALOG
from asrctl.models.store import ModelStore
root, sha1 = sys.argv[1:]
CATALOG["small"] = replace(CATALOG["small"], sha1=sha1, size_bytes=1 << 20)
steps = []
try:
    model = ModelStore(Path(root)).resolve("small", progress=lambda *step: steps.append(step))
except ModelError as error:
    sys.exit(str(error))
print(model.path)
print(*(step for step in steps if "verifying" not in step[0]), sep="\\n")
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A server that has the file."""
    with serving(CONTENT) as hub:
        yield hub


def pull(
    tmp_path: Path, endpoint: str, content: bytes = CONTENT, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Have a new process fetch `content` as the model "small" into `tmp_path`/models."""
    hidden = ("HF_", "HUGGING", "TRANSFORMERS_", "HTTP", "http", "ALL_PROXY", "all_proxy", "PYTHONWARN")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    return subprocess.run(
        [sys.executable, "-c", PULL, str(tmp_path / "models"), hashlib.sha1(content).hexdigest()],
        capture_output=True,
        text=True,
        env={**clean, **settings, **environ},
        timeout=60,
    )


def kept(tmp_path: Path) -> set[str]:
    """The files in the store, without locks."""
    return {path.name for path in (tmp_path / "models").iterdir()} - {".locks"}


def failed(tmp_path: Path, done: subprocess.CompletedProcess[str], *said: str) -> None:
    """It failed with one line that says all of `said`, and left nothing behind."""
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    for words in ("cannot download ggml-small.bin from", *said):
        assert words in done.stderr
    assert kept(tmp_path) == set()


def test_a_file_is_fetched_and_verified(hub: Hub, tmp_path: Path) -> None:
    """It takes its name, has its record, nothing else stays, and progress was told to the end."""
    done = pull(tmp_path, hub.url)
    assert (done.returncode, done.stderr) == (0, "")
    path, *steps = done.stdout.splitlines()
    assert Path(path).read_bytes() == CONTENT
    assert kept(tmp_path) == {"ggml-small.bin", "ggml-small.bin.json"}
    assert literal_eval(steps[-1])[1:] == (len(CONTENT), len(CONTENT))
    assert "GET /ggerganov/whisper.cpp/resolve/main/ggml-small.bin" in hub.requests


def test_a_cut_connection_is_resumed(tmp_path: Path) -> None:
    """The rest is asked for, not the whole; and nobody is bothered with it."""
    with serving(LONG) as hub:
        hub.cuts = 1
        done = pull(tmp_path, hub.url, LONG)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(done.stdout.splitlines()[0]).read_bytes() == LONG
    assert hub.requests[-1].startswith("GET") and "bytes=" in hub.requests[-1]


def test_other_content_is_refused(hub: Hub, tmp_path: Path) -> None:
    """A file that does not have the published checksum is not kept, whoever vouches for it."""
    hub.content = CONTENT[:-1] + b"!"
    done = pull(tmp_path, hub.url)
    assert done.returncode == 1 and "what was downloaded is not the published small (SHA-1" in done.stderr
    assert done.stderr.count("\n") == 1 and kept(tmp_path) == set()


def test_a_truncated_file_is_refused(hub: Hub, tmp_path: Path) -> None:
    """A server that sends less than it promised is found out."""
    hub.content = CONTENT[:-1000]
    failed(tmp_path, pull(tmp_path, hub.url), "Consistency check failed", "try again")


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_a_refusal_is_told_with_its_number(hub: Hub, tmp_path: Path, status: int) -> None:
    """At once: a server that refuses is not asked again and again."""
    hub.status = status
    failed(tmp_path, pull(tmp_path, hub.url), f"the server answered {status}")
    assert len(hub.requests) == 1


def test_no_network_is_said_at_once(tmp_path: Path) -> None:
    """The advice names network, proxy and paths."""
    with serving(b"") as gone:
        url = gone.url
    failed(tmp_path, pull(tmp_path, url), "no connection", "HTTPS_PROXY", "give --model a path")


def test_a_server_that_never_answers_is_given_up(hub: Hub, tmp_path: Path) -> None:
    """Huggingface_hub's own time limit holds."""
    hub.stalled = True
    failed(tmp_path, pull(tmp_path, hub.url, HF_HUB_ETAG_TIMEOUT="1"), "no connection")


def test_a_proxy_that_is_not_there_is_an_error_of_the_network(tmp_path: Path) -> None:
    """As the advice names the variable that leads to it."""
    with serving(b"") as gone:
        url = gone.url
    done = pull(tmp_path, "http://models.invalid", HTTP_PROXY=url, http_proxy=url)
    failed(tmp_path, done, "no connection")


def test_offline_mode_is_named(hub: Hub, tmp_path: Path) -> None:
    """Nothing is asked of anyone, and the error names the variable."""
    failed(tmp_path, pull(tmp_path, hub.url, HF_HUB_OFFLINE="1"), "HF_HUB_OFFLINE is set")
    assert hub.requests == []


@pytest.mark.parametrize("offline", ["0", "1"])
def test_the_cache_of_huggingface_hub_is_used(hub: Hub, tmp_path: Path, offline: str) -> None:
    """A file that is there is copied from there, also offline, and stays there."""
    cache = tmp_path / "hf" / "hub" / "models--ggerganov--whisper.cpp"
    theirs = cache / "snapshots" / COMMIT / "ggml-small.bin"
    for path, content in ((cache / "refs" / "main", COMMIT.encode()), (theirs, CONTENT)):
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    done = pull(tmp_path, hub.url, HF_HUB_OFFLINE=offline)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(done.stdout.splitlines()[0]).read_bytes() == theirs.read_bytes() == CONTENT
    assert hub.requests == []


def test_a_wrong_file_in_the_cache_of_huggingface_hub_is_named(hub: Hub, tmp_path: Path) -> None:
    """The user is told which file to remove."""
    cache = tmp_path / "hf" / "hub" / "models--ggerganov--whisper.cpp"
    theirs = cache / "snapshots" / COMMIT / "ggml-small.bin"
    for path, content in ((cache / "refs" / "main", COMMIT.encode()), (theirs, b"wrong")):
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    done = pull(tmp_path, hub.url)
    assert done.returncode == 1 and str(theirs) in done.stderr and "remove it" in done.stderr
    assert theirs.exists() and kept(tmp_path) == set()


@pytest.mark.parametrize(
    "error, said",
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full; make room"),
        (OSError("Consistency check failed:\n 3 bytes"), "Consistency check failed: 3 bytes; try again"),
        (RuntimeError(), "RuntimeError; try again"),
    ],
)
def test_whatever_else_is_raised_becomes_one_line(error: Exception, said: str) -> None:
    """Errors of any class end as a ModelError that says what to do."""
    with pytest.raises(ModelError) as caught, download.errors_mapped("a/b", "ggml-x.bin"):
        raise error
    assert said in str(caught.value) and "\n" not in str(caught.value)
