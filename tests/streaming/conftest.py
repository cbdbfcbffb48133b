"""Pools of real workers, for the tests that want some."""

from __future__ import annotations

from tests.workers.conftest import pool_of, script

__all__ = ["pool_of", "script"]
