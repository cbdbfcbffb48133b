"""Settings: defaults, the file, the environment, and what is said about mistakes in them."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from asrctl.errors import UsageError
from asrctl.settings import Settings, default_path, flat, load


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config file that is there and empty."""
    path = tmp_path / "config.toml"
    path.touch()
    return path


def test_defaults_are_in_force_without_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A fresh machine needs no config."""
    monkeypatch.setattr("asrctl.settings.reading.default_path", lambda: tmp_path / "none.toml")
    loaded = load(environ={})
    assert loaded.settings == Settings()
    assert loaded.origins == {}


def test_the_environment_overrides_the_file_and_flags_override_both(config: Path) -> None:
    """Each layer sets what it names, and leaves the rest."""
    config.write_text('model = "base"\nthreads = 2\nbeam_size = 3\n[vad]\nonset = 0.6\noffset = 0.4\n')
    loaded = load(config, {"ASRCTL_THREADS": "4", "ASRCTL_VAD__ONSET": "0.7", "ASRCTL_BEAM_SIZE": "5"})
    settings = loaded.settings.overridden(beam_size=1, prompt=None)
    assert (settings.model, settings.threads, settings.beam_size) == ("base", 4, 1)
    assert (settings.vad.onset, settings.vad.offset, settings.prompt) == (0.7, 0.4, "")
    assert loaded.origins == {
        "model": str(config),
        "threads": "ASRCTL_THREADS",
        "beam_size": "ASRCTL_BEAM_SIZE",
        "vad.onset": "ASRCTL_VAD__ONSET",
        "vad.offset": str(config),
    }


def test_a_flag_that_is_false_or_zero_was_given() -> None:
    """Only None means that the flag was left out."""
    settings = Settings(word_timestamps=True, threads=4)
    assert settings.overridden(word_timestamps=False, threads=0) == Settings()


def test_every_setting_can_be_written_back(config: Path) -> None:
    """Each default, as text in its own variable, is accepted and gives the same settings."""
    environ = {}
    for key, value in flat(Settings()).items():
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        environ["ASRCTL_" + key.upper().replace(".", "__")] = "" if value is None else text
    assert load(config, environ).settings == Settings()


def test_lists_are_lists_in_the_file_and_commas_in_the_environment(config: Path) -> None:
    """Both spell the same order of providers."""
    config.write_text('providers = ["faster_whisper", "whisper_cpp"]')
    from_file = load(config, {}).settings
    from_environment = load(config, {"ASRCTL_PROVIDERS": "faster_whisper, whisper_cpp"}).settings
    assert from_file == from_environment == Settings(providers=("faster_whisper", "whisper_cpp"))


def test_the_home_directory_can_be_written_as_a_tilde(config: Path) -> None:
    """No directory called `~` is made."""
    config.write_text('models_dir = "~/models"')
    assert load(config, {}).settings.models_dir == Path.home() / "models"


def test_an_empty_variable_is_not_set(config: Path) -> None:
    """Containers often define every variable they know, empty."""
    assert load(config, {"ASRCTL_THREADS": ""}).settings == Settings()


def test_variables_of_others_are_left_alone(config: Path) -> None:
    """Only ours are looked at, and those that switch the command line itself are not settings."""
    environ = {"ASRCTL_DEBUG": "1", "ASRCTL_CONFIG": "x", "_ASRCTL_COMPLETE": "complete_bash", "HOME": "/x"}
    assert load(config, environ).settings == Settings()


def test_a_file_from_windows_with_a_byte_order_mark_is_read(config: Path) -> None:
    """Editors put it there unasked."""
    config.write_bytes(b'\xef\xbb\xbfmodel = "base"\r\n')
    assert load(config, {}).settings.model == "base"


MISTAKES_IN_FILE = {
    "unknown": ("modle = 'x'", "there is no setting modle; did you mean model?"),
    "unknown in a section": ("[vad]\nonsett = 1", "there is no setting vad.onsett; did you mean vad.onset?"),
    "unknown section": ("[zzz]\nqqq = 1", "there is no setting zzz.qqq"),
    "section as value": ("vad = 3", "there is no setting vad"),
    "text for a number": ("threads = 'many'", "threads is 'many': it should be a valid integer"),
    "truth value": ("threads = true", "threads is True: it should be a number"),
    "fraction": ("threads = 1.5", "threads is 1.5: it should be a valid integer"),
    "number for text": ("model = 5", "model is 5: it should be a valid string"),
    "text for a list": ("providers = 'x'", "providers is 'x': it should be a valid list"),
    "number in a list": ("providers = ['x', 1]", "providers is ['x', 1]: it should be a valid string"),
    "no such choice": ("format = 'doc'", "format is 'doc': it should be 'txt', 'srt', 'vtt'"),
    "not a truth value": ("translate = 'maybe'", "translate is 'maybe': it should be a valid boolean"),
    "too small": ("threads = -1", "threads is -1: it should be from 0 to 1024"),
    "too large in a section": ("vad.onset = 2", "vad.onset is 2: it should be from 0.01 to 0.99"),
    "not a number": ("[vad]\nonset = nan", "vad.onset is nan: it should be from 0.01 to 0.99"),
    "not TOML": ("model = = 3", "is not valid TOML: Invalid value (at line 1, column 9)"),
    "not UTF-8": (b"model = '\xff'", "is not valid TOML: 'utf-8' codec can't decode"),
}


@pytest.mark.parametrize("text, message", MISTAKES_IN_FILE.values(), ids=MISTAKES_IN_FILE)
def test_a_mistake_in_the_file_names_the_file_and_the_key(
    config: Path, text: str | bytes, message: str
) -> None:
    """One line: which file, which key, what is wrong with it."""
    config.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError) as caught:
        load(config, {})
    said = str(caught.value)
    assert said.startswith(str(config)) and message in said and "\n" not in said


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("ASRCTL_MODLE", "x", "there is no setting ASRCTL_MODLE; did you mean ASRCTL_MODEL?"),
        ("ASRCTL_THREADS", "x", "ASRCTL_THREADS: threads is 'x': it should be a valid integer"),
        ("ASRCTL_VAD__ONSET", "7", "ASRCTL_VAD__ONSET: vad.onset is '7': it should be from 0.01 to 0.99"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    config: Path, name: str, value: str, message: str
) -> None:
    """Also beside a file that is right."""
    config.write_text("[vad]\noffset = 0.2")
    with pytest.raises(UsageError) as caught:
        load(config, {name: value})
    assert message in str(caught.value)


def test_a_config_file_that_was_asked_for_must_exist(tmp_path: Path) -> None:
    """The platform's may be missing; a named one may not, and must be a file."""
    with pytest.raises(UsageError, match="there is no config file"):
        load(tmp_path / "none.toml", {})
    with pytest.raises(UsageError, match="cannot read the config file"):
        load(tmp_path, {})


def test_the_platform_decides_where_the_file_is() -> None:
    """It is called config.toml, in a directory of our own."""
    assert default_path().parts[-2:] == ("asrctl", "config.toml")


def test_bounds_hold_for_the_defaults() -> None:
    """No default is one that a user could not write."""

    def check(section: Any) -> int:
        seen = 0
        for field in dataclasses.fields(section):
            if field.metadata:
                assert field.metadata["least"] <= getattr(section, field.name) <= field.metadata["most"]
                seen += 1
        return seen

    assert check(Settings()) + check(Settings().vad) + check(Settings().live) == 11


def test_without_config_pydantic_is_not_imported(tmp_path: Path) -> None:
    """Loading defaults is quick: the check is imported when there is something to check."""
    code = (
        "import sys, pathlib, asrctl.settings as s\n"
        f"s.default_path = lambda: pathlib.Path({str(tmp_path / 'none.toml')!r})\n"
        "s.load(environ={})\n"
        "print('pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
