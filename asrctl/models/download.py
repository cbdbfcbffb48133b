"""Downloads from Hugging Face; progress, retries, proxies, tokens and offline mode are huggingface_hub's job.

Its errors are turned into ModelError here, once, each with what to do about it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asrctl.errors import ModelError

REPOSITORY = "ggerganov/whisper.cpp"


def download(file_name: str, directory: Path, show_progress: bool) -> Path:
    """Fetch a file of whisper.cpp's repository into an empty directory of its own.

    A connection that is cut is resumed within the call. Where huggingface_hub's own cache has
    the file, it is copied from there, so an offline machine can be fed through that cache.

    Args:
        file_name: Such as "ggml-tiny.en.bin".
        directory: On the disk where the file is to stay.
        show_progress: Draw huggingface_hub's bar on standard error, if that is a terminal.

    Returns:
        Where the file is: in `directory`, or in huggingface_hub's cache (not ours to move).

    Raises:
        ModelError: anything that went wrong, with what to do.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    with _errors_mapped(file_name), _bars(show_progress):
        cached = try_to_load_from_cache(REPOSITORY, file_name)
        if isinstance(cached, str):
            return Path(cached)
        return Path(hf_hub_download(REPOSITORY, file_name, local_dir=directory))


@contextmanager
def _bars(show: bool) -> Iterator[None]:
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if show or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


@contextmanager
def _errors_mapped(file_name: str) -> Iterator[None]:
    """Foreign errors end here; the transports below have trees of their own, so all are caught."""
    try:
        yield
    except Exception as error:
        raise ModelError(
            f"cannot download {file_name} from huggingface.co/{REPOSITORY}: {_explain(error)}"
        ) from error


def _explain(error: Exception) -> str:
    from huggingface_hub import constants, errors

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set; unset it, or give --model a path"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return "no connection; check network and proxy (HTTPS_PROXY), or give --model a path"
    if isinstance(error, errors.HfHubHTTPError):
        return f"the server answered {error.response.status_code}; try again later"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full; make room, or set ASRCTL_MODELS_DIR to a larger disk"
    return f"{' '.join(str(error).split())[:200] or type(error).__name__}; try again"
