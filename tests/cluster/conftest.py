"""Commands of a cluster under test: the scripted provider, which counts levels as speech in this process."""

from importlib.util import find_spec

from tests.cli.conftest import no_settings, options, speech, terminate

__all__ = ["no_settings", "options", "speech", "terminate"]

collect_ignore = [] if find_spec("ray") else ["test_ray.py"]
"""Ray takes 250 MB, and is in no extra for tests: they are there for whoever has it."""
