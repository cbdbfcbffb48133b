"""How far a run is, in words."""

from __future__ import annotations

from pathlib import Path

from asrctl.cli.tally import Tally


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_one_input_is_named_with_how_far_it_got() -> None:
    """No counting of one."""
    tally = Tally(["/a/talk.mp3"])
    tally.begin(0)
    tally.at_s[0] = 12.34
    assert tally.interrupted() == "talk.mp3 up to 12.3 s"


def test_an_interruption_names_what_is_done_current_and_missing() -> None:
    """Inputs may be under way at once, and end in any order; of many that are missing a few are named."""
    tally = Tally([f"{n}.wav" for n in range(8)], skipped=2)
    for index in range(3):
        tally.begin(index)
    tally.end(1, failed=False)
    tally.at_s[2] = 5.0
    assert tally.interrupted() == (
        "1 of 8 inputs done (2 more skipped); 0.wav begun; 2.wav up to 5.0 s; "
        "not begun: 3.wav, 4.wav, 5.wav and 2 more"
    )


def test_of_many_under_way_a_few_are_named() -> None:
    """A cluster has thousands."""
    tally = Tally([f"{n}.wav" for n in range(5)])
    for index in range(5):
        tally.begin(index)
    assert tally.interrupted() == "0.wav begun; 1.wav begun; 2.wav begun and 2 more"


def test_of_an_input_that_is_decoded_in_one_piece_nothing_is_known() -> None:
    """It is begun; it is not said to be at its start, as if it stood still."""
    tally = Tally(["a.wav", "b.wav"], clock=Clock())
    tally.begin(0)
    tally.end(0, failed=False)
    tally.begin(1)
    assert tally.progress().startswith("1 of 2 inputs done; b.wav begun; ")
    tally.at_s[1] = 0.04
    assert "b.wav begun; " in tally.progress()


def test_the_summary_counts_and_gives_the_speed() -> None:
    """Audio of all inputs against the time that passed; failures and skipped inputs are not hidden."""
    clock = Clock()
    tally = Tally(["a", "-", "c"], skipped=4, clock=clock)
    for index, length_s in enumerate((3600.0, 125.0, 0.0)):
        tally.begin(index)
        tally.at_s[index] = length_s
        tally.end(index, failed=index == 2)
    clock.now_s += 50.0
    assert tally.summary() == (
        "2 of 3 inputs transcribed, 1 failed, 4 skipped, whose transcripts exist; "
        "1:02:05 of audio in 50.0 s, 74.5 x real time"
    )


def test_progress_is_one_line_with_what_is_under_way() -> None:
    """For a log, while it runs."""
    clock = Clock()
    tally = Tally(["a.wav", "-"], clock=clock)
    tally.begin(0)
    tally.at_s[0] = 60.0
    tally.end(0, failed=False)
    tally.begin(1)
    tally.at_s[1] = 30.0
    clock.now_s += 30.0
    assert tally.progress() == (
        "1 of 2 inputs done; standard input up to 30.0 s; 1:30 of audio in 30.0 s, 3.0 x real time"
    )


def test_what_does_the_rest_is_said_as_the_command_was(tmp_path: Path) -> None:
    """With --skip-existing already there is nothing to add; what is current begins anew."""
    outputs = [tmp_path / f"{n}.txt" for n in range(3)]
    for skipped, command in ((None, "the same command with --skip-existing"), (0, "the same command")):
        tally = Tally([f"{n}.wav" for n in range(3)], skipped)
        assert tally.how_to_go_on(outputs) == f"; {command} goes on"
        tally.begin(0)
        assert tally.how_to_go_on(outputs) == f"; {command} begins 0.wav anew and goes on"
        tally.begin(1)
        assert tally.how_to_go_on(outputs) == f"; {command} begins 0.wav, 1.wav anew and goes on"
        assert tally.how_to_go_on([None, *outputs[1:]]) == ""
    (tmp_path / "1.txt.part").write_text("so far")
    assert tally.how_to_go_on(outputs).startswith(f"; partial text: {tmp_path / '1.txt.part'}; the same")
    assert Tally(["a.wav"]).how_to_go_on(outputs[:1]) == "; the same command begins it again"


def test_where_nothing_was_transcribed_there_is_no_speed() -> None:
    """Of inputs that all failed."""
    tally = Tally(["a", "b"])
    for index in range(2):
        tally.begin(index)
        tally.end(index, failed=True)
    assert tally.summary() == "0 of 2 inputs transcribed, 2 failed"
