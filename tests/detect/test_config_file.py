"""The config that is written: it loads, says why, keeps what the user had, and never loses the old one."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from asrctl.detect.config_file import (
    MARK,
    Existing,
    difference,
    entries,
    kept_values,
    masked,
    read_existing,
    render,
    write,
)
from asrctl.errors import AsrctlError, UsageError
from asrctl.policy.recommend import Recommendation
from asrctl.settings import Settings, flat, load

KNOWN = flat(Settings()).keys()
MEASURED = Recommendation(
    provider="whisper_cpp",
    model="tiny.en-q8_0",
    threads=2,
    workers=3,
    sessions=11,
    partial_interval_s=1.5,
    reasons=("base-q8_0 sustains 3 live sessions here, tiny.en-q8_0 11; you asked for 10",),
    stand_ins=("faster_whisper",),
)


def rendered(existing: Existing | None = None) -> str:
    """The file for what was measured, over a file that was there."""
    decided = entries(MEASURED, KNOWN)
    kept = kept_values(existing or Existing(None, {}), decided, KNOWN)
    return render(f"{MARK} for: a machine with a “name”.", decided, kept)


def test_what_is_written_loads(tmp_path: Path) -> None:
    """Every value arrives in the settings of the other commands."""
    path = tmp_path / "config.toml"
    write(path, rendered())
    settings = load(path, {}).settings
    assert (settings.provider, settings.model) == ("auto", "tiny.en-q8_0")
    assert settings.providers == ("whisper_cpp", "faster_whisper")
    assert (settings.threads, settings.workers) == (2, 3)
    assert settings.live.partial_interval_s == 1.5


def test_every_value_has_a_comment_that_explains_it() -> None:
    """A person who opens the file needs no manual, and sees why this model."""
    lines = rendered().splitlines()
    for number, line in enumerate(lines):
        if " = " in line and not line.startswith("#"):
            assert lines[number - 1].startswith("# ")
    assert "sustains 3 live sessions here" in " ".join(line.removeprefix("# ") for line in lines)
    assert max(map(len, lines)) <= 110


def test_settings_that_do_not_exist_are_not_written() -> None:
    """An unknown key would be an error: what is decided goes in only where there is a setting for it."""
    some = entries(MEASURED, {"model", "serve.max_sessions"})
    assert [(entry.key, entry.value) for entry in some] == [
        ("model", "tiny.en-q8_0"),
        ("serve.max_sessions", 11),
    ]
    guessed = Recommendation("p", "m", 1, 1, None, 1.0, ("by size",))
    assert [entry.key for entry in entries(guessed, {"model", "serve.max_sessions"})] == ["model"]


def test_what_the_user_set_besides_is_taken_over(tmp_path: Path) -> None:
    """Only what is measured changes; quotes, accents, lists and sections survive."""
    path = tmp_path / "config.toml"
    path.write_text(
        'model = "base"\nprompt = "Zoë said \\"hi\\"\\n# not a comment"\n'
        'language = "de"\n[vad]\nonset = 0.7\n[live]\nmax_utterance_s = 9.0\n',
        encoding="utf-8",
    )
    before = load(path, {}).settings
    write(path, rendered(read_existing(path)))
    after = load(path, {}).settings
    assert after.model == "tiny.en-q8_0"
    assert (after.prompt, after.language, after.vad) == (before.prompt, before.language, before.vad)
    assert (after.live.max_utterance_s, after.live.partial_interval_s) == (9.0, 1.5)


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    """What was taken over is taken over again, in the same words."""
    path = tmp_path / "config.toml"
    path.write_text('prompt = "names"\n[vad]\nonset = 0.7\n')
    first = rendered(read_existing(path))
    write(path, first)
    assert rendered(read_existing(path)) == first


def test_without_a_measurement_there_is_no_order() -> None:
    """A glance proves nobody: it names one, and an order that the user wrote stays."""
    guess = Recommendation("whisper_cpp", "base-q8_0", 1, 1, None, 1.0, ("by size",))
    decided, values = entries(guess, KNOWN), {"providers": ["remote", "whisper_cpp"]}
    assert {"provider": "whisper_cpp"}.items() <= {entry.key: entry.value for entry in decided}.items()
    assert kept_values(Existing("# mine\n", values), decided, KNOWN) == values
    assert kept_values(Existing(f"# {MARK} 1.0 for: x\n", values), decided, KNOWN) == {}


def test_what_an_earlier_run_found_does_not_outlive_it() -> None:
    """A count that was measured for another model goes; one that the user wrote into a file stays."""
    guess = Recommendation("whisper_cpp", "base-q8_0", 1, 1, None, 1.0, ("by size",))
    decided, values = entries(guess, KNOWN), {"serve.max_sessions": 5}
    known = {*KNOWN, "serve.max_sessions"}
    assert kept_values(Existing(f"# {MARK} 1.0 for: x\n", values), decided, known) == {}
    assert kept_values(Existing("# mine\n", values), decided, known) == values


def test_keys_that_are_no_settings_are_left_out(tmp_path: Path) -> None:
    """They made the old file an error; the new one loads."""
    path = tmp_path / "config.toml"
    path.write_text('colour = "red"\n[vad]\nonset = 0.7\nspeed = 3\n')
    text = rendered(read_existing(path))
    write(path, text)
    assert load(path, {}).settings.vad.onset == 0.7
    assert "colour" not in text and "speed = 3" not in text


@pytest.mark.parametrize("content", [b"model = ", b"\xff\xfe\0", b"[[["])
def test_a_file_that_is_not_toml(tmp_path: Path, content: bytes) -> None:
    """Nothing can be taken over, which is told; the backup has it byte for byte."""
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    existing = read_existing(path)
    assert existing.problem.startswith(f"{path} is not valid TOML") and not existing.values
    backup = write(path, rendered(existing))
    assert backup and backup.read_bytes() == content


def test_no_file(tmp_path: Path) -> None:
    """Neither text nor trouble; directories are made."""
    path = tmp_path / "new" / "deep" / "config.toml"
    assert read_existing(path) == Existing(None, {})
    assert write(path, "a = 1\n") is None
    assert path.read_text() == "a = 1\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644 or os.name == "nt"


def test_every_backup_is_kept(tmp_path: Path) -> None:
    """The third write does not overwrite what the first one saved."""
    path = tmp_path / "config.toml"
    path.write_text("first\n")
    backups = [write(path, f"{number}\n") for number in range(3)]
    assert [backup.name for backup in backups if backup] == [
        "config.toml.bak",
        "config.toml.bak2",
        "config.toml.bak3",
    ]
    assert [backup.read_text() for backup in backups if backup] == ["first\n", "0\n", "1\n"]


def test_a_linked_config_stays_a_link(tmp_path: Path) -> None:
    """People keep such files in a repository of their own and link to them."""
    real = tmp_path / "dotfiles" / "asrctl.toml"
    real.parent.mkdir()
    real.write_text("old\n")
    real.chmod(0o600)
    link = tmp_path / "config.toml"
    link.symlink_to(real)
    write(link, "new\n")
    assert link.is_symlink() and real.read_text() == "new\n"
    assert stat.S_IMODE(real.stat().st_mode) == 0o600


@pytest.mark.parametrize("step", ["os.fsync", "os.replace", "shutil.copy2"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Whichever step fails: what was there is whole, nothing half-written lies about, the reason is told."""
    path = tmp_path / "config.toml"
    path.write_text("old\n")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"asrctl.detect.config_file.{step}", full)
    with pytest.raises(AsrctlError, match=r"cannot write the config .*: No space left on device"):
        write(path, "new\n")
    assert path.read_text() == "old\n"
    assert {each.name for each in tmp_path.iterdir()} <= {"config.toml", "config.toml.bak"}


def test_a_really_full_device(tmp_path: Path) -> None:
    """A place that takes no byte."""
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with pytest.raises(AsrctlError, match=r"cannot write the config /dev/full/config\.toml"):
        write(Path("/dev/full/config.toml"), "new\n")


def test_a_directory_in_the_way(tmp_path: Path) -> None:
    """It cannot be read, and that is a mistake of the user's."""
    with pytest.raises(UsageError, match="cannot read the config file"):
        read_existing(tmp_path)


def test_secrets_are_not_shown() -> None:
    """What is printed may end up in a bug report: keys stay in the file."""
    text = 'model = "key = 1"\n[serve]\napi_key = "hunter2"\n'
    shown = masked(text) + masked(difference(Path("c"), text, text.replace("hunter2", "hunter3")))
    assert "hunter" not in shown and 'model = "key = 1"' in shown
    assert shown.count('api_key = "..."') == 3


def test_the_difference_is_one_that_people_know() -> None:
    """A unified diff with both names; nothing if nothing changes; a missing newline does not glue lines."""
    path = Path("config.toml")
    assert difference(path, "a = 1\n", "a = 1\n") == ""
    assert difference(path, "a = 1", "a = 2\n").splitlines() == [
        "--- config.toml",
        "+++ config.toml (new)",
        "@@ -1 +1 @@",
        "-a = 1",
        "+a = 2",
    ]
