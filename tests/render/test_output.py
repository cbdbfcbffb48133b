"""Where transcripts are written, and what is said when they cannot be."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
from itertools import permutations
from pathlib import Path

import pytest

from asrctl.errors import AsrctlError, UsageError
from asrctl.render.output import Output, destinations
from asrctl.render.parts import left_of, part_of


def test_text_is_there_while_the_file_is_open(tmp_path: Path) -> None:
    """Somebody who follows the file sees each piece at once, as UTF-8."""
    path = tmp_path / "a.txt"
    with Output(path) as output:
        output.write("grüß dich\n")
        assert path.read_bytes() == "grüß dich\n".encode()


def test_half_a_character_does_not_stop_a_transcript(tmp_path: Path) -> None:
    """A lone surrogate cannot be written; a question mark stands for it."""
    path = tmp_path / "a.txt"
    with Output(path) as output:
        output.write("a\ud800b\n")
    assert path.read_text() == "a?b\n"


def test_a_file_that_cannot_be_opened_is_named_before_any_work(tmp_path: Path) -> None:
    """A missing directory is found at once."""
    with pytest.raises(AsrctlError, match=r"cannot write .*nowhere/a\.txt: No such file or directory"):
        Output(tmp_path / "nowhere" / "a.txt")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_says_what_is_there(tmp_path: Path) -> None:
    """The message counts the bytes written before; the file keeps them."""
    path = tmp_path / "a.txt"
    with pytest.raises(AsrctlError, match=r"No space left on device; 6 bytes of it are there"):
        _fill(path)
    assert path.read_text() == "first\n"


def _fill(path: Path) -> None:
    with Output(path) as output:
        output.write("first\n")
        output._file.close()
        output._file = Path("/dev/full").open("w")  # noqa: SIM115 (`Output` closes it)
        output.write("second\n")


def test_nothing_is_left_of_an_input_that_failed(tmp_path: Path) -> None:
    """An empty file would look like silence; a partial one is worth keeping."""
    empty, partial = tmp_path / "empty.txt", tmp_path / "partial.txt"
    with pytest.raises(ValueError), Output(empty):
        raise ValueError
    with pytest.raises(ValueError), Output(partial) as output:
        output.write("so far\n")
        raise ValueError
    assert not empty.exists()
    assert partial.read_text() == "so far\n"


def test_an_older_file_stays_until_the_new_text_is_complete(tmp_path: Path) -> None:
    """The new text grows beside it, where it can be followed, and takes its place at the end."""
    path = tmp_path / "a.txt"
    path.write_text("older\n")
    path.chmod(0o640)
    with Output(path) as output:
        output.write("new\n")
        assert path.read_text() == "older\n"
        assert (tmp_path / "a.txt.part").read_text() == "new\n"
    assert path.read_text() == "new\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [*tmp_path.iterdir()] == [path]


def test_an_input_that_fails_leaves_the_older_file(tmp_path: Path) -> None:
    """Neither deleted nor truncated; what there was of the new text is kept beside it."""
    path = tmp_path / "a.txt"
    path.write_text("older\n")
    with pytest.raises(ValueError), Output(path):
        raise ValueError
    assert [*tmp_path.iterdir()] == [path]
    with pytest.raises(ValueError), Output(path) as output:
        output.write("so far\n")
        raise ValueError
    assert path.read_text() == "older\n"
    assert (tmp_path / "a.txt.part").read_text() == "so far\n"


def test_an_interrupt_keeps_what_was_transcribed_so_far(tmp_path: Path) -> None:
    """Who stops a run wants what there is, in the place that was named; nothing does not replace anything."""
    path = tmp_path / "a.txt"
    path.write_text("older\n")
    with pytest.raises(KeyboardInterrupt), Output(path):
        raise KeyboardInterrupt
    assert path.read_text() == "older\n"
    with pytest.raises(KeyboardInterrupt), Output(path) as output:
        output.write("so far\n")
        raise KeyboardInterrupt
    assert path.read_text() == "so far\n"
    assert [*tmp_path.iterdir()] == [path]


def test_a_link_to_a_file_stays_a_link(tmp_path: Path) -> None:
    """The file that it leads to is replaced."""
    path, link = tmp_path / "a.txt", tmp_path / "link.txt"
    path.write_text("older\n")
    link.symlink_to(path)
    with Output(link) as output:
        output.write("new\n")
    assert link.is_symlink()
    assert path.read_text() == "new\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_are_written_to_directly(tmp_path: Path) -> None:
    """A pipe, like a device, is neither replaced nor removed."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(ValueError), Output(path) as output:
            output.write("text\n")
            assert os.read(reader, 100) == b"text\n"
            raise ValueError
    finally:
        os.close(reader)
    assert path.is_fifo()


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="needs /dev/fd")
def test_a_stream_of_the_shell_is_appended_to(tmp_path: Path) -> None:
    """`-o /dev/stdout >> log` keeps the log, whatever happens."""
    log = tmp_path / "log.txt"
    log.write_text("older\n")
    with log.open("a") as file, pytest.raises(ValueError), Output(Path(f"/dev/fd/{file.fileno()}")) as output:
        output.write("new\n")
        raise ValueError
    assert log.read_text() == "older\nnew\n"
    assert [*tmp_path.iterdir()] == [log]


def test_a_closed_standard_output_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python has no standard output at all where the shell closed it."""
    monkeypatch.setattr("sys.stdout", None)
    with pytest.raises(AsrctlError, match="cannot write standard output: it is closed"):
        Output(None)


def test_silence_leaves_an_empty_file(tmp_path: Path) -> None:
    """An input that was transcribed has its file, even if nothing was said."""
    with Output(tmp_path / "a.txt"):
        pass
    assert (tmp_path / "a.txt").read_bytes() == b""


def test_standard_output_stays_open(capsys: pytest.CaptureFixture[str]) -> None:
    """Several transcripts go to standard output one after the other, whatever its encoding was."""
    for text in ("one\n", "zwölf\n"):
        with Output(None) as output:
            output.write(text)
    assert capsys.readouterr().out == "one\nzwölf\n"


def test_standard_output_is_utf8_when_piped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe in a Latin-1 locale still gets every character."""
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="latin-1"))
    with Output(None) as output:
        output.write("天\n")
    assert raw.getvalue() == "天\n".encode()


def test_a_closed_pipe_is_left_to_the_command_line() -> None:
    """`| head` is not an error of ours, so it keeps its own exception."""
    output = Output(None)
    output._file = _ClosedPipe()
    with pytest.raises(BrokenPipeError):
        output.write("a")


class _ClosedPipe(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_without_options_everything_goes_to_standard_output() -> None:
    """None is standard output."""
    assert destinations(["a.wav", "-"], None, None, "txt") == [None, None]


def test_output_is_for_one_input() -> None:
    """A second transcript would overwrite the first, or make an invalid file."""
    assert destinations(["a.wav"], Path("x.srt"), None, "srt") == [Path("x.srt")]
    with pytest.raises(UsageError, match="--output-dir"):
        destinations(["a.wav", "b.wav"], Path("x.srt"), None, "srt")


def test_two_places_are_one_too_many() -> None:
    """The options contradict each other."""
    with pytest.raises(UsageError, match="exclude"):
        destinations(["a.wav"], Path("x.srt"), Path("y"), "srt")


def test_names_in_a_directory_never_clash(tmp_path: Path) -> None:
    """Inputs of one name, or of names that differ in case, get files of their own, the same in any order."""
    files = {"x/a.wav": "a-3", "y/a.mp3": "a-4", "A.wav": "A", "-": "stdin", "a-2.ogg": "a-2"}
    folder = tmp_path / "made" / "now"
    for names in permutations(files):
        paths = destinations(names, None, folder, "srt")
        assert paths == [folder / f"{files[name]}.srt" for name in names]
    assert folder.is_dir()


@pytest.mark.parametrize("stem", ["x" * 251, "é" * 125])
def test_a_name_as_long_as_may_be_is_written_too(stem: str, tmp_path: Path) -> None:
    """With a longer extension, as a part, and with a number, it would be too long for the disk."""
    paths = destinations([f"a/{stem}.wav", f"b/{stem}.wav"], None, tmp_path, "jsonl")
    assert len({*paths}) == 2
    for path in paths:
        with Output(path, whole=True) as output:
            output.write("text")
        assert path and path.read_text() == "text"


@pytest.mark.skipif(os.name == "nt", reason="open files keep their directory there")
def test_a_directory_that_vanishes_is_said_in_a_line(tmp_path: Path) -> None:
    """Somebody removed it while the text was written."""
    folder = tmp_path / "gone"
    folder.mkdir()
    with (
        pytest.raises(AsrctlError, match=r"cannot write .*a\.txt: No such file"),
        Output(folder / "a.txt", whole=True) as output,
    ):
        output.write("text")
        shutil.rmtree(folder)


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file in the way is said in one line."""
    (tmp_path / "file").touch()
    with pytest.raises(AsrctlError, match=r"cannot make the directory .*file"):
        destinations(["a.wav"], None, tmp_path / "file", "txt")


def test_an_input_is_never_overwritten(tmp_path: Path) -> None:
    """Opening the transcript would empty somebody's recording, however its place was given."""
    audio = tmp_path / "talk.txt"
    audio.write_text("audio")
    with pytest.raises(UsageError, match="overwrite the input"):
        destinations([str(audio)], audio, None, "txt")
    with pytest.raises(UsageError, match="overwrite the input"):
        destinations([str(audio)], None, tmp_path, "txt")


def test_a_whole_file_has_its_name_only_once_it_is_complete(tmp_path: Path) -> None:
    """What an interrupt or an error leaves is called a part, also where nothing was before."""
    path = tmp_path / "a.txt"
    for error in (KeyboardInterrupt, ValueError):
        with pytest.raises(error), Output(path, whole=True) as output:
            output.write("half")
            raise error
        assert not path.exists() and part_of(path).read_text() == "half"
    with Output(path, whole=True) as output:
        output.write("half")
        output.leave_incomplete()
    assert not path.exists()
    with Output(path, whole=True) as output:
        output.write("half and half")
    assert path.read_text() == "half and half" and not part_of(path).exists()


@pytest.mark.parametrize("existed", [False, True])
def test_the_longer_part_stays_until_the_text_is_complete(existed: bool, tmp_path: Path) -> None:
    """Of two runs over one recording, whatever ended the one that left it, and whatever ends this one."""
    path = tmp_path / "a.txt"
    if existed:
        path.write_text("complete\n")
    part_of(path).write_text("a good\ndeal\n")
    for said in ("", "a good\n"):
        with pytest.raises(ValueError), Output(path, whole=True) as output:
            output.write(said)
            raise ValueError
        with Output(path, whole=True) as output:
            output.write(said)
            output.leave_incomplete()
        Output(path, whole=True)._file.close()  # killed
    with pytest.raises(KeyboardInterrupt), Output(path, whole=True) as output:
        raise KeyboardInterrupt
    assert left_of(path) == [part_of(path)] and part_of(path).read_text() == "a good\ndeal\n"
    _interrupted(path, "a good\ndeal\nmore\n")
    assert left_of(path) == [part_of(path)] and part_of(path).read_text() == "a good\ndeal\nmore\n"
    with Output(path, whole=True) as output:
        output.write("a good\ndeal\nmore\nand all\n")
    assert [*tmp_path.iterdir()] == [path] and left_of(path) == []


def test_parts_of_several_recordings_stay_side_by_side(tmp_path: Path) -> None:
    """However short it is, what this run wrote is the part; what others wrote has a number."""
    path = tmp_path / "a.txt"
    texts = ["a long recording\n", "another\n", "third\n"]
    for text in texts:
        _interrupted(path, text)
    first, second = tmp_path / "a.txt.part.1", tmp_path / "a.txt.part.2"
    assert left_of(path) == [part_of(path), first, second]
    assert [each.read_text() for each in left_of(path)] == ["third\n", "a long recording\n", "another\n"]
    _interrupted(path, "a long recording\nand more\n")
    assert {each.read_text() for each in left_of(path)} == {"a long recording\nand more\n", *texts[1:]}
    assert left_of(path) == [part_of(path), first, second] and not (tmp_path / "a.txt.part.3").exists()
    with Output(path, whole=True) as output:
        output.write("another\nand all\n")
    assert left_of(path) == [part_of(path), first] and not second.exists()
    assert {each.read_text() for each in left_of(path)} == {"a long recording\nand more\n", "third\n"}


def _interrupted(path: Path, text: str) -> None:
    with pytest.raises(KeyboardInterrupt), Output(path, whole=True) as output:
        output.write(text)
        raise KeyboardInterrupt


def test_nothing_is_left_where_there_was_no_text(tmp_path: Path) -> None:
    """Of a source that was left before its first words, say."""
    with Output(tmp_path / "a.txt", whole=True) as output:
        output.leave_incomplete()
    assert not [*tmp_path.iterdir()]


def test_a_cancelled_task_keeps_what_was_transcribed_as_an_interrupt_does(tmp_path: Path) -> None:
    """In an event loop, Ctrl-C comes as a cancellation."""
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(asyncio.CancelledError), Output(path) as output:
        output.write("new")
        raise asyncio.CancelledError
    assert path.read_text() == "new"
