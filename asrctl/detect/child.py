"""Native libraries are asked in here: `python -m asrctl.detect.child whisper|audio`.

Each answer is a line of JSON, written as soon as it is known, so that a crash takes nothing with it but
what was still to come.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO


def main() -> None:
    """Answer on what was standard output; what native code prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    what, *arguments = sys.argv[1:]
    try:
        {"whisper": _whisper, "audio": _audio}[what](answers, *arguments)
    except Exception as error:
        _say(answers, {"error": " ".join(f"{type(error).__name__}: {error}".split())})
    os._exit(0)  # the binding's static objects can crash in the interpreter's own shutdown


def _say(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _whisper(answers: TextIO, model: str = "") -> None:
    """whisper.cpp's build, what it logs of its devices and, with a model, where that goes."""
    import _pywhispercpp as native

    log: list[str] = []
    native.whisper_log_set(lambda _level, text, *_: log.append(text))
    info = native.whisper_print_system_info()  # starts the backends, which log their devices
    _say(answers, {"system_info": info, "log": "".join(log).splitlines()})
    if model:
        context = native.whisper_init_from_file_with_params(model, native.whisper_context_default_params())
        _say(answers, {"system_info": info, "log": "".join(log).splitlines()})
        native.whisper_free(context)


def _audio(answers: TextIO) -> None:
    """The audio inputs that PortAudio lists."""
    from dataclasses import asdict

    from asrctl.audio.devices import input_devices, load_portaudio

    devices = input_devices(load_portaudio())
    _say(answers, {"inputs": [asdict(device) for device in devices]})


if __name__ == "__main__":
    main()
