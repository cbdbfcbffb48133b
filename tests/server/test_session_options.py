"""What a client may wish for, and what becomes of the server's own values."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.policy.end_of_turn import TurnOptions
from asrctl.policy.endpointing import EndpointerOptions
from asrctl.protocol.codes import Violation
from asrctl.protocol.endpointing import Endpointing
from asrctl.protocol.fields import Misfit
from asrctl.protocol.messages import AudioFormat, Start
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.server.options import NamedModel
from asrctl.server.session_options import suited
from asrctl.streaming.stream import StreamOptions

MODEL = NamedModel("words", ModelSpec("scripted", Path()), multilingual=True)


def wished(**wishes: object) -> StreamOptions:
    return suited(StreamOptions(), Start(AudioFormat(), **wishes), MODEL)  # type: ignore[arg-type]


def test_no_wish_changes_nothing() -> None:
    """But for what a start always says."""
    assert wished() == StreamOptions()


def test_terms() -> None:
    """They are what recognisers are told, without those that have no room; none leaves the server's."""
    assert wished(vocabulary=(" Ada  Lovelace ", "ada lovelace")).decode.vocabulary == ("Ada Lovelace",)
    many = tuple(f"Term number {number}" for number in range(100))
    kept = wished(vocabulary=many).decode.vocabulary
    assert kept == many[: len(kept)] and 10 < len(kept) < 60
    own = StreamOptions(DecodeOptions(vocabulary=("Ada",)))
    assert suited(own, Start(AudioFormat()), MODEL).decode.vocabulary == ("Ada",)
    with pytest.raises(Violation, match="no text"):
        wished(vocabulary=("a\0b",))


def optional(least: float, most: float) -> st.SearchStrategy[float | None]:
    return st.none() | st.floats(least, most)


@given(
    optional(0.05, 10),
    optional(0, 2),
    optional(0.01, 0.99),
    optional(0.01, 0.99),
    optional(2, 29),
    optional(0, 1),
)
def test_every_wish_that_the_protocol_allows_makes_sense(
    trailing_silence_s: float | None,
    min_speech_s: float | None,
    onset: float | None,
    offset: float | None,
    max_utterance_s: float | None,
    pad_before_s: float | None,
) -> None:
    """What is given holds; what is not is the server's, moved only as far as it must be."""
    try:
        wish = Endpointing(trailing_silence_s, min_speech_s, onset, offset, max_utterance_s, pad_before_s)
    except Misfit:
        return
    options, own = wished(endpointing=wish).endpointing, EndpointerOptions()
    assert options.trailing_silence_s == (trailing_silence_s or own.trailing_silence_s)
    assert options.onset_threshold == (onset if onset is not None else max(own.onset_threshold, offset or 0))
    assert options.pad_before_s == (own.pad_before_s if pad_before_s is None else pad_before_s)
    if offset is not None:
        assert options.offset_threshold == offset
    if max_utterance_s is not None:
        assert options.overlong_s < options.max_utterance_s == max_utterance_s


@pytest.mark.parametrize("wish", [{"model": "large"}, {"language": "klingon"}, {"language": "en,klingon"}])
def test_what_the_server_does_not_have(wish: dict[str, object]) -> None:
    """It is refused by name."""
    with pytest.raises(Violation, match=r"large|klingon"):
        wished(**wish)


def test_partials() -> None:
    """Rarer ones than the server ever makes are possible."""
    assert (pacing := wished(partial_interval_s=20.0).pacing) is not None
    assert (pacing.interval_s, pacing.max_interval_s) == (20.0, 20.0)


def test_how_pauses_are_heard() -> None:
    """As the server hears them, but for what is wished; not at all where it does not, or is not to."""
    server = StreamOptions(turn=TurnOptions(unfinished_silence_s=1.0))

    def heard(options: StreamOptions, wish: Endpointing | None) -> TurnOptions | None:
        return suited(options, Start(AudioFormat(), endpointing=wish), MODEL).turn

    assert heard(server, None) == heard(server, Endpointing(end_of_turn=True)) == server.turn
    assert heard(server, Endpointing(unfinished_silence_s=4.0)) == TurnOptions(unfinished_silence_s=4.0)
    assert heard(server, Endpointing(end_of_turn=False)) is None
    assert heard(StreamOptions(), Endpointing(end_of_turn=True)) is None
