"""Echo: what is left of a frame decides, and a track's own speech is never taken for it."""

from __future__ import annotations

from asrctl.policy.echo import EchoJudge, Powers

ECHO, OWN, BOTH, QUIET = (
    Powers(1e-4, 1e-6, 1e-2, 1e-2),
    Powers(1e-2, 1e-2, 1e-2, 1e-2),
    Powers(1e-2, 8e-3, 1e-1, 1e-1),
    Powers(0.0, 0.0, 1e-2, 1e-2),
)


def verdicts(*frames: Powers) -> list[bool]:
    judge = EchoJudge()
    return [each for powers in frames for each in judge.push(powers)] + judge.flush()


def test_each_frame_gets_a_verdict() -> None:
    """Some frames late, and at the end all the rest; also of a track that is shorter than that."""
    for count in range(12):
        assert len(verdicts(*[ECHO] * count)) == count


def test_what_the_filter_takes_away_is_echo() -> None:
    """A track's own speech, alone or with echo in it, is not, and nor is silence."""
    assert all(verdicts(*[QUIET] * 3, *[ECHO] * 20)[6:])
    for frame in (OWN, BOTH, QUIET):
        assert not any(verdicts(*[QUIET] * 3, *[frame] * 20))


def test_the_origin_is_not_echo_of_its_copy() -> None:
    """A track that is no weaker than the other is never echo, however well the filter explains it."""
    assert not any(verdicts(*[Powers(1e-2, 1e-6, 1e-2, 1e-2)] * 20))


def test_what_two_tracks_share_is_no_echo_where_it_is_quiet() -> None:
    """A quiet frame between loud ones, in tracks that are as loud as each other over time."""
    loud, quiet = Powers(1e-2, 1e-6, 1e-2, 1e-2), Powers(1e-4, 1e-6, 1e-4, 1e-2)
    assert not any(verdicts(*[loud] * 20, *[quiet] * 20))
    assert any(verdicts(*[ECHO] * 20, *[quiet] * 20)[24:])


def test_the_floor_of_noise_does_not_count() -> None:
    """Echo barely above steady noise is echo, though the filter leaves all of the noise."""
    noise, quiet_echo = Powers(1e-6, 1e-6, 1e-2, 1e-2), Powers(3e-6, 1.1e-6, 1e-2, 1e-2)
    assert verdicts(*[noise] * 10, *[quiet_echo] * 10)[-1]
