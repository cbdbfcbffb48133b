"""Terms that a client says are likely, and what it is told of them."""

from __future__ import annotations

from pathlib import Path

from asrctl.protocol.client import Opened

from .servers import Talker, options_for, running, script, spoken


def test_a_vocabulary_of_the_session(tmp_path: Path) -> None:
    """It is what the recogniser is told; terms that there is no room for come back with `ready`."""
    terms = tuple(f"Term number {number}" for number in range(60))
    with running(options_for(script(tmp_path / "script.json", says_vocabulary=True))) as server:
        with Talker(server.url, spoken(1), vocabulary=("Ada", "Bo")) as talker:
            talker.finish()
            assert talker.words == ["w1", "Ada", "Bo"]
            assert talker.of(Opened)[0].ready.vocabulary_left_out is None
        with Talker(server.url, spoken(1), vocabulary=terms) as talker:
            talker.finish()
            left_out = talker.of(Opened)[0].ready.vocabulary_left_out
            assert left_out and terms[-len(left_out) :] == left_out
            assert len(talker.words) == 1 + 3 * (len(terms) - len(left_out))
        with Talker(server.url, spoken(1), vocabulary=("a\0b",)) as talker:
            assert talker.close_code == 4400
