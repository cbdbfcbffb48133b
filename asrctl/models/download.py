"""Downloads from Hugging Face; resuming, proxies, tokens and offline mode are huggingface_hub's job.

Its errors are turned into ModelError here, once, each with what to do about it.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asrctl.errors import ModelError
from asrctl.models.files import Progress

REPOSITORY = "ggerganov/whisper.cpp"


def download(file_name: str, directory: Path, progress: Progress | None) -> Path:
    """Fetch a file of whisper.cpp's repository into an empty directory of its own.

    A connection that is cut is resumed within the call. Where huggingface_hub's own cache has
    the file, it is copied from there, so an offline machine can be fed through that cache.

    Args:
        file_name: Such as "ggml-tiny.en.bin".
        directory: On the disk where the file is to stay.
        progress: Told how far it is.

    Returns:
        Where the file is: in `directory`, or in huggingface_hub's cache (not ours to move).

    Raises:
        ModelError: anything that went wrong, with what to do.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache

    with errors_mapped(REPOSITORY, file_name), quiet():
        cached = try_to_load_from_cache(REPOSITORY, file_name)
        if isinstance(cached, str):
            return Path(cached)
        # Asked for in vain, hf_hub_download would try again for 24 s; this fails at once.
        get_hf_file_metadata(hf_hub_url(REPOSITORY, file_name))
        bar = bar_class(progress)
        return Path(hf_hub_download(REPOSITORY, file_name, local_dir=directory, tqdm_class=bar))


def bar_class(progress: Progress | None) -> type[Any]:
    """What huggingface_hub takes for a progress bar: one that draws nothing and tells `progress`."""
    from huggingface_hub.utils.tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})  # type: ignore[no-untyped-call]
            self._what = str(options.get("desc") or "downloading")

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            if progress:
                progress(self._what, int(self.n), int(self.total) if self.total else None)

    return Bar


@contextmanager
def quiet() -> Iterator[None]:
    """Keep huggingface_hub's warnings of each retry off standard error: the error says what matters."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def errors_mapped(repository: str, file_name: str) -> Iterator[None]:
    """Foreign errors end here; the transports below have trees of their own, so all are caught."""
    try:
        yield
    except Exception as error:
        raise ModelError(
            f"cannot download {file_name} from {_place(repository)}: {_explain(error)}"
        ) from error


def _place(repository: str) -> str:
    from huggingface_hub import constants

    return f"{constants.ENDPOINT.partition('://')[2]}/{repository}"


def _explain(error: Exception) -> str:
    from huggingface_hub import constants, errors

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set; unset it, or give --model a path"
    if isinstance(error, errors.HfHubHTTPError):
        return f"the server answered {error.response.status_code}; try again later"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full; make room, or set ASRCTL_MODELS_DIR to a larger disk"
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    if isinstance(error, errors.LocalEntryNotFoundError) or _is_of_transport(error):
        return f"no connection ({reason}); check network and proxy (HTTPS_PROXY), or give --model a path"
    return f"{reason}; try again"


def _is_of_transport(error: Exception) -> bool:
    """Whether huggingface_hub's HTTP client raised it; which client that is depends on its version."""
    return type(error).__module__.partition(".")[0] not in {"huggingface_hub", "builtins"}
