"""The benchmark suite: every figure that asrctl claims, and the command that gives it."""

from tests.plugins import install

install()
