"""What a provider says about itself: a plug-in, whether it ships with asrctl or comes from another package.

Another package adds a provider by an entry point of the group `asrctl.providers` that leads to a `Plugin`:

    [project.entry-points."asrctl.providers"]
    mine = "my_package.plugin:PLUGIN"

A provider of windows has `load`, which is called in a worker process; any other has `start`, which is called
in the event loop of the parent. The module of a plug-in should import nothing heavy: it is imported to list
the providers, and `load` and `start` can import what they need.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from asrctl.errors import ModelError

if TYPE_CHECKING:
    from asrctl.providers.base import ListeningModel, ModelSpec, WindowedModel
    from asrctl.providers.recognizer import Recognizer, WindowService

Number = TypeVar("Number", int, float)


def number(default: Number, least: Number, most: Number) -> Number:
    """A field of a settings class with bounds, both allowed; checked when settings are read."""
    return field(default=default, metadata={"least": least, "most": most})


@dataclass(frozen=True, slots=True)
class NoSettings:
    """For a provider with nothing to set."""


@dataclass(frozen=True, slots=True)
class Serving:
    """How streams are served by models that listen, in worker processes. Times in seconds.

    Attributes:
        max_streams: Streams at once; one more is refused.
        streams_per_worker: So many share a process, and are lost together with it.
        load_timeout_s: Longest a model may take to load, and to hear its test speech.
        stall_timeout_s: A process that hears nothing of what lies before it for so long is replaced.
    """

    max_streams: int = 10
    streams_per_worker: int = 5
    load_timeout_s: float = 120.0
    stall_timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Setup:
    """What a provider is set up with.

    Attributes:
        settings: Of the plug-in's settings class.
        model: What was asked for as the model: a name, or a path.
        models_dir: Where models are kept; None for the platform's cache directory.
    """

    settings: Any = NoSettings()
    model: str = ""
    models_dir: Path | None = None


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights that a provider looks after itself, as `asrctl models` shows them.

    Attributes:
        path: Where they are; None if they are nowhere.
        problems: What is wrong with them; empty if nothing is.
        how_to_get: What to do to have them, in words that follow "get it with".
        size_bytes: Size on disk.
        memory_bytes: Memory that one process needs.
        multilingual: Whether the model knows more than English.
    """

    path: Path | None
    problems: Sequence[str]
    how_to_get: str
    size_bytes: int
    memory_bytes: int
    multilingual: bool

    def whole(self, name: str) -> Path:
        """Where they are.

        Raises:
            ModelError: They are nowhere, or not whole; says how to get them.
        """
        how = f"get it ({self.size_bytes / 1e9:.1f} GB) with {self.how_to_get}"
        if self.path is None:
            raise ModelError(f"{name} is not there: {how}")
        if self.problems:
            raise ModelError(f"{'; '.join(self.problems)}: {how}")
        return self.path


def path_as_given(setup: Setup) -> Path:
    """The weights of a provider that is given their path as the model.

    Raises:
        ModelError: There is nothing there.
    """
    path = Path(setup.model).expanduser()
    if not path.exists():
        raise ModelError(f"{path}: no such file")
    return path


@dataclass(frozen=True, slots=True)
class Plugin:
    """A provider, before it runs. All functions but `load` are called in the parent, and return at once.

    Attributes:
        name: As in `--provider`, and as the section of the config file.
        summary: What it is, in one line.
        settings: A frozen dataclass, every field with a default; bounds are set by `number`.
        missing: Why it cannot run here as it is set up, and what would enable it; empty if it can.
        translates: Whether it can translate into English as it is set up.
        no_vocabulary: Why it cannot be told which terms are likely, as it is set up; empty if it can.
        load: Loads weights in a worker process, and decodes windows.
        listen: Loads weights in a worker process, and listens to a stream; for models that do so. Streams of
            the others are made of windows, by `load`.
        serving: How streams are served by `listen`; None if it is not to listen, as it is set up.
        options: What its settings say of a model, for `ModelSpec.options`.
        parallel: Windows that a worker decodes at a time, by its settings and the worker's threads; where
            that is more than one, `load` gives a `SharedModel`.
        together: Windows that each of these decodes may take along, by its settings; where that is more than
            one, `load` gives a `SharedModel`.
        has_beams: Whether what `load` gives searches with as many beams as asked for.
        weights: Which weights `load` takes: "ggml", "ctranslate2" or "gguf" from the model store, or "own".
        locate: Finds weights of the kind "own"; raises ModelError.
        takes_windows: Whether one with `start` decodes whole windows as it is set up, as files want it.
        start: Makes a recogniser that runs in the parent's event loop; raises ProviderError or UsageError if
            something is missing. None for one with `load`.
        model: The name of the model to show, for one with `start`.
        own_weights: Weights for `asrctl models` that are not in the store.
        requires: The module that `load` imports; empty for none.
        through: For one that has a server recognise: its settings with the server's URL, the model's name
            there and the key, of which these two may be empty, and how many seconds it is waited for.
    """

    name: str
    summary: str
    settings: type[Any] = NoSettings
    missing: Callable[[Setup], str] = lambda setup: ""
    translates: Callable[[Setup], bool] = lambda setup: True
    no_vocabulary: Callable[[Setup], str] = lambda setup: ""
    load: Callable[[ModelSpec], WindowedModel] | None = None
    listen: Callable[[ModelSpec], ListeningModel] | None = None
    serving: Callable[[Setup], Serving | None] = lambda setup: None
    options: Callable[[Setup], tuple[tuple[str, int | str], ...]] = lambda setup: ()
    parallel: Callable[[Any, int], int] = lambda settings, threads: 1
    together: Callable[[Any], int] = lambda settings: 1
    has_beams: bool = True
    weights: str = ""
    locate: Callable[[Setup], Path] = path_as_given
    start: Callable[[Setup], Recognizer | WindowService] | None = None
    takes_windows: Callable[[Setup], bool] = lambda setup: False
    model: Callable[[Setup], str] = lambda setup: setup.model
    own_weights: Callable[[Setup], Weights] | None = None
    requires: str = ""
    through: Callable[[Any, str, str, str, float], Any] | None = None

    @property
    def is_pooled(self) -> bool:
        """Whether it decodes windows in worker processes."""
        return self.load is not None

    def setup(self, **known: Any) -> Setup:
        """A setup with the default settings."""
        return Setup(**{"settings": self.settings(), **known})


def is_installed(module: str) -> bool:
    """Whether a module can be found; it is not imported, since native imports can crash."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # a package around it is missing, or has no spec
        return False


def missing_package(module: str, enable: str) -> str:
    """Why a provider cannot run without a module; empty if the module is there."""
    if is_installed(module):
        return ""
    return f"the package {module.strip('_')} is not installed: {enable}"
