"""Deepgram's live dialect, over a real stream."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.events import (
    Final,
    Finished,
    ProviderChanged,
    SpeakerChanged,
    SpeakersLost,
    SpeechEnded,
    SpeechStarted,
)
from asrctl.policy.admission import Refusal
from asrctl.transcript import AudioAccount, Segment, Word

from ...streaming.speech import silence, speak, words
from .talks import Talk, heard

CLOSE = "CloseStream"
STEPS = st.lists(
    st.sampled_from(
        (
            "talk",
            "talk on",
            "pause",
            "short pause",
            "answer",
            "lose",
            "guess",
            "Finalize",
            "KeepAlive",
            "junk",
            "wait",
        )
    ),
    max_size=25,
)


def take(talk: Talk, steps: list[str]) -> None:
    """Do what the steps say."""
    for number, step in enumerate(steps):
        match step:
            case "talk":
                talk.talk(number, number + 1)
            case "talk on":
                talk.talk(*range(number, number + 12))
            case "pause":
                talk.pause(2.5)
            case "short pause":
                talk.pause(0.5)
            case "answer" | "lose":
                talk.answer(lost=step == "lose")
            case "guess":
                talk.guess()
            case "wait":
                talk.wait(3.0)
                talk.ask("KeepAlive")
            case _:
                talk.ask(step)


def check_spans(talk: Talk) -> None:
    """Final spans tile the audio, interim ones begin where the open one does; words are inside, in order."""
    open_ms = 0
    for results in talk.of("Results"):
        start_ms, duration_ms = round(results["start"] * 1000), round(results["duration"] * 1000)
        assert (start_ms, duration_ms >= 0) == (open_ms, True)
        end_ms = start_ms + duration_ms
        if results["is_final"]:
            open_ms = end_ms
        assert len(results["channel"]["alternatives"]) == 1
        times = [(round(word["start"] * 1000), round(word["end"] * 1000)) for word in heard(results)["words"]]
        assert all(start_ms <= first <= last <= end_ms for first, last in times)
        assert all(first[0] <= second[0] for first, second in pairwise(times))
        assert (
            " ".join(word["punctuated_word"] for word in heard(results)["words"])
            == heard(results)["transcript"]
        )
    assert open_ms == round(talk.fed_samples / 16)


@given(STEPS, st.sampled_from((CLOSE, "empty", "leave", "silence")), st.booleans())
def test_any_order_of_things(steps: list[str], end: str, interims: bool) -> None:
    """Whatever happens: spans tile, each Finalize has one answer, a gap is told once, the end is orderly."""
    options = {"interim_results": str(interims).lower(), "utterance_end_ms": "1000", "vad_events": "true"}
    talk = Talk(**options)
    take(talk, steps)
    assert talk.closed is None
    if end == CLOSE:
        talk.ask(CLOSE)
    elif end == "empty":
        talk.tell(talk.dialect.receive_binary(b""))
    elif end == "leave":
        talk.leave()
    else:
        talk.wait(10.0)
    talk.answer_all()
    code = {"leave": 1012, "silence": 1011}.get(end, 1000)
    assert talk.closed is not None and talk.closed.code == code
    check_spans(talk)
    assert sum(final["from_finalize"] for final in talk.finals) == steps.count("Finalize")
    variants = [error["variant"] for error in talk.of("Error")]
    assert variants.count("SchemaError") == steps.count("junk")
    assert set(variants) <= {"SchemaError", "AudioDropped"}
    assert interims or len(talk.finals) == len(talk.of("Results"))
    assert talk.said[-1]["type"] == "Metadata"
    assert talk.said[-1]["duration"] == pytest.approx(talk.fed_samples / 16_000, abs=0.001)
    ends = [each["last_word_end"] for each in talk.of("UtteranceEnd")]
    assert ends == sorted(set(ends))
    for at, message in enumerate(talk.said):
        if message["type"] == "UtteranceEnd":
            before = [
                word for each in talk.said[:at] if each.get("is_final") for word in heard(each)["words"]
            ]
            assert before[-1]["end"] == message["last_word_end"]


def test_results() -> None:
    """A final with all that clients index, at the end of an utterance."""
    talk = Talk()
    talk.pause(0.5)
    talk.talk(1, 2)
    talk.pause(1.0)
    talk.answer()
    [final] = talk.finals
    assert final["channel_index"] == [0, 1]
    assert (final["is_final"], final["speech_final"], final["from_finalize"]) == (True, True, False)
    assert heard(final)["transcript"] == "w1 w2"
    assert heard(final)["confidence"] == 1.0
    first, second = heard(final)["words"]
    assert (first["word"], first["punctuated_word"], first["confidence"]) == ("w1", "w1", 1.0)
    assert final["start"] == 0.0 < first["start"] < second["start"] < final["duration"]
    assert final["metadata"]["request_id"] == "an-id"
    assert final["metadata"]["model_info"] == {"name": "tiny", "version": "1.0", "arch": "asrctl"}
    assert "languages" not in heard(final)


def test_metadata_at_the_end() -> None:
    """The last results cover what is left, then `Metadata` has the hash and the length of the audio."""
    talk = Talk()
    audio = speak([1])
    talk.audio(audio)
    talk.audio(silence(0.1))
    talk.ask(CLOSE)
    talk.audio(silence(1.0))
    talk.ask("Finalize")
    talk.answer()
    [final] = talk.finals
    assert (heard(final)["transcript"], final["from_finalize"], final["speech_final"]) == ("w1", False, False)
    sent = b"".join(np.round(each * 32767).astype("<i2").tobytes() for each in (audio, silence(0.1)))
    metadata = talk.said[-1]
    assert metadata["sha256"] == hashlib.sha256(sent).hexdigest()
    assert metadata["duration"] == round(len(sent) / 2 / 16_000, 3) == final["duration"]
    assert (metadata["channels"], metadata["transaction_key"]) == (1, "deprecated")
    assert metadata["models"] == list(metadata["model_info"])
    assert metadata["created"] == "2026-11-28T12:00:00.000Z"


def test_nothing_before_audio() -> None:
    """No session is begun before the first audio; what is asked for before is answered all the same."""
    talk = Talk()
    talk.ask("KeepAlive")
    talk.ask("Finalize")
    assert [final["from_finalize"] for final in talk.finals] == [True]
    assert not talk.opened
    talk.ask(CLOSE)
    assert (talk.said[-1]["type"], talk.said[-1]["duration"]) == ("Metadata", 0.0)
    assert talk.closed is not None and talk.closed.code == 1000
    talk.leave()
    talk.wait(60.0)


def test_finalize_in_speech() -> None:
    """The answer to `Finalize` has the words so far, and is no end of speech; finals before it come first."""
    talk = Talk()
    talk.talk(1)
    talk.pause(1.0)
    talk.talk(2)
    talk.ask("Finalize")
    talk.answer_all()
    assert [heard(final)["transcript"] for final in talk.finals] == words(1, 2)
    assert [final["from_finalize"] for final in talk.finals] == [False, True]
    assert [final["speech_final"] for final in talk.finals] == [True, False]
    talk.ask("Finalize")
    assert [heard(final)["transcript"] for final in talk.finals] == ["w1", "w2", ""]
    assert talk.finals[-1]["from_finalize"]


def test_finalize_after_the_end() -> None:
    """An utterance that had ended by itself has ended, though its final is the answer."""
    talk = Talk()
    talk.talk(1)
    talk.pause(1.0)
    talk.ask("Finalize")
    talk.answer()
    assert [(final["speech_final"], final["from_finalize"]) for final in talk.finals] == [(True, True)]


def test_no_end_of_speech() -> None:
    """With `endpointing=false` finals come, and none of them says that speech has ended."""
    talk = Talk(endpointing="false")
    talk.talk(1)
    talk.pause(1.0)
    talk.answer()
    assert [final["speech_final"] for final in talk.finals] == [False]


def test_overlong_speech() -> None:
    """Speech that is cut has not ended, and begins once."""
    talk = Talk(vad_events="true")
    talk.talk(*range(20))
    talk.pause(1.0)
    talk.answer_all()
    assert len(talk.finals) > 1
    assert [final["speech_final"] for final in talk.finals] == [False] * (len(talk.finals) - 1) + [True]
    assert len(talk.of("SpeechStarted")) == 1
    assert talk.of("SpeechStarted")[0] == {"type": "SpeechStarted", "channel": [0, 1], "timestamp": 0.0}


def test_interim_results() -> None:
    """They are about the oldest utterance without a final: none takes the place of one that is not final."""
    talk = Talk(interim_results="true")
    assert not talk.opened
    talk.talk(1, 2, 3)
    assert talk.opened[0].request.partials
    talk.guess()
    [interim] = talk.of("Results")
    assert (interim["is_final"], interim["speech_final"], heard(interim)["transcript"]) == (
        False,
        False,
        "w1 w2 w3",
    )
    assert [word["word"] for word in heard(interim)["words"]] == words(1, 2, 3)
    talk.pause(1.0)
    talk.talk(4, 5)
    talk.guess()
    assert len(talk.of("Results")) == 1
    talk.answer()
    talk.talk(6)
    talk.guess()
    assert [heard(each)["transcript"] for each in talk.of("Results")][1:] == ["w1 w2 w3", "w4 w5 w6"]


def test_no_interim_results() -> None:
    """They are sent only if asked for."""
    talk = Talk()
    talk.talk(1, 2, 3)
    assert not talk.opened[0].request.partials
    talk.guess()
    assert not talk.said


def test_gap_that_lasts() -> None:
    """A gap is told once, when it has lasted, and after the final with the last word."""
    talk = Talk(utterance_end_ms="1000", interim_results="true")
    talk.talk(1)
    talk.pause(3.0)
    assert not talk.of("UtteranceEnd")
    talk.answer()
    talk.pause(3.0)
    last = heard(talk.finals[0])["words"][-1]["end"]
    assert talk.of("UtteranceEnd") == [{"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": last}]


@pytest.mark.parametrize(("pause_s", "count"), [(0.75, 0), (2.0, 1)])
def test_gap_that_ended(pause_s: float, count: int) -> None:
    """Between two utterances that wait, the gap is told of between their finals; short ones are none."""
    talk = Talk(utterance_end_ms="1000", interim_results="true")
    talk.talk(1)
    talk.audio(silence(pause_s))
    talk.talk(2)
    talk.answer()
    assert len(talk.of("UtteranceEnd")) == count
    talk.audio(silence(0.75))
    talk.answer()
    assert [each["type"] for each in talk.said] == ["Results", *["UtteranceEnd"] * count, "Results"]


def test_gap_before_speech() -> None:
    """A gap that nobody looked at is told of when speech begins."""
    talk = Talk(utterance_end_ms="1000")
    talk.talk(1)
    talk.audio(silence(0.75))
    talk.answer()
    talk.audio(silence(2.0))
    talk.talk(2)
    assert [each["type"] for each in talk.said] == ["Results", "UtteranceEnd"]


def test_silent_client() -> None:
    """A client that sends nothing for 10 s is told so, after its last words; `KeepAlive` is something."""
    talk = Talk()
    talk.talk(1)
    for _ in range(5):
        talk.wait(9.0)
        talk.ask("KeepAlive")
    talk.wait(10.0)
    assert talk.closed is None
    talk.answer()
    assert talk.words == ["w1"]
    assert talk.closed is not None and (talk.closed.code, talk.closed.reason[:8]) == (1011, "NET-0001")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"KeepAlive"',
        "[" * 10_000,
        '{"type": "Unknown"}',
        '{"type": ["KeepAlive"]}',
        '{"type": {}}',
        "{}",
        '{"type": "Configure", "keyterms": "one"}',
        '{"type": "Configure", "keyterms": [1]}',
        '{"type": "Configure", "features": []}',
        '{"type": "Configure", "features": {"numerals": "yes"}}',
    ],
)
def test_bad_messages(text: str) -> None:
    """They are answered with what they were, and the socket stays open."""
    talk = Talk()
    talk.text(text)
    [error] = talk.said
    assert (error["type"], error["variant"], error["message"]) == ("Error", "SchemaError", text[:200])
    talk.talk(1)
    talk.ask("Finalize")
    talk.answer()
    assert talk.words == ["w1"]


def test_configure() -> None:
    """Key terms can be set before audio comes; later they are refused, which is said as Deepgram says it.
    What is no text is left out."""
    talk = Talk(keyterm="old")
    talk.text({"type": "Configure", "keyterms": ["Silero", "\ud800Whisper"]})
    talk.text({"type": "Configure", "features": {"numerals": True}})
    talk.talk(1)
    talk.text({"type": "Configure", "keyterms": []})
    assert talk.opened[0].request.vocabulary == ("Silero",)
    success, plain, failure = talk.said
    assert success == {
        "type": "ConfigureSuccess",
        "request_id": "an-id",
        "keyterms": ["Silero", "\ud800Whisper"],
    }
    assert plain == {"type": "ConfigureSuccess", "request_id": "an-id"}
    assert failure.pop("description")
    code = "CONFIGURE_KEYTERMS_NOT_SUPPORTED"
    assert failure == {"type": "ConfigureFailure", "request_id": "an-id", "code": code}


def test_lost_audio() -> None:
    """What is dropped is told of, and its span is final all the same."""
    talk = Talk()
    talk.talk(1)
    talk.pause(1.0)
    talk.answer(lost=True)
    error, final = talk.said
    assert (error["type"], error["variant"]) == ("Error", "AudioDropped")
    assert "gone" in error["description"]
    assert (heard(final)["transcript"], final["is_final"]) == ("", True)
    talk._follow(talk.stream.skip(1600, "a gap"))
    assert [each["type"] for each in talk.said[2:]] == ["Error", "Results"]


def test_language_and_plain_words() -> None:
    """`multi` names the language of a final; without punctuation a transcript is its bare words."""
    talk = Talk(language="multi", punctuate="false")
    segment = Segment(0.2, 1.0, " Guten Tag, Welt! ...", 0.87654)
    for event in (SpeechStarted(0, 0.1), SpeechEnded(0, 1.5), Final(0, segment, 1600, 24_000, "x", "de")):
        talk.hear(event)
    [final] = talk.finals
    assert heard(final)["transcript"] == "guten tag welt ..."
    assert heard(final)["languages"] == ["de"]
    shown = [(word["word"], word["punctuated_word"]) for word in heard(final)["words"]]
    assert shown == [("guten", "Guten"), ("tag", "Tag,"), ("welt", "Welt!"), ("...", "...")]
    assert heard(final)["confidence"] == 0.8765
    assert [heard(final)["words"][0]["start"], heard(final)["words"][-1]["end"]] == [0.2, 1.0]
    talk.hear(ProviderChanged("other", "a crash"))
    assert len(talk.said) == 1


def who(final: dict[str, Any]) -> list[int | None]:
    """The speakers of a final's words."""
    return [word.get("speaker") for word in heard(final)["words"]]


def test_speakers() -> None:
    """Words have the number of whoever is known to say them when their final is sent."""
    talk = Talk()
    words = (Word(0.2, 0.6, "Hello.", 1.0), Word(0.6, 1.0, "Hi.", 1.0))
    known = Segment(0.2, 1.0, "Hello. Hi.", 1.0, words).labelled("Speaker 2", ["Speaker 2", "Speaker 1"])
    plain = replace(known, words=(), speaker="Speaker 1")
    for number, segment in enumerate((replace(known, speaker="", words=words), known, plain)):
        talk.hear(SpeechStarted(number, 0.1))
        talk.hear(SpeechEnded(number, 1.5))
        talk.hear(Final(number, segment, 1600, 24_000))
    assert [who(final) for final in talk.finals] == [[None, None], [0, 1], [1, 1]]
    talk.hear(SpeakerChanged(0, "Speaker 1", ("Speaker 1", "Speaker 1")))
    assert len(talk.said) == 3
    talk.hear(SpeakersLost("a crash"))
    assert talk.said[-1] == {"type": "Error", "variant": "SpeakersLost", "description": "a crash"}


def test_speakers_of_what_is_held_back() -> None:
    """The last final before the end has the labels that came until then."""
    talk = Talk()
    talk.pause(0.5)
    talk.dialect.receive_text(json.dumps({"type": CLOSE}))
    for number in (0, 1):
        talk.hear(SpeechStarted(number, 0.1))
        talk.hear(SpeechEnded(number, 1.5))
        talk.hear(Final(number, Segment(0.2, 1.0, "one two", 1.0), 1600, 24_000))
    talk.hear(SpeakerChanged(1, "Speaker 2"))
    talk.hear(SpeakerChanged(0, "Speaker 1"))
    talk.hear(Finished(AudioAccount(received_samples=32_000)))
    assert [who(final) for final in talk.finals] == [[None, None], [0, 0]]


def test_an_utterance_without_words() -> None:
    """Nothing was heard in it: its span is final all the same, with an empty transcript."""
    talk = Talk()
    talk.hear(SpeechStarted(0, 0.1))
    talk.hear(SpeechEnded(0, 1.5))
    talk.hear(Final(0, Segment(0.2, 1.0, "", 1.0), 1600, 24_000))
    [final] = talk.finals
    assert (heard(final)["transcript"], heard(final)["words"]) == ("", [])
    assert final["start"] + final["duration"] == 1.5


@pytest.mark.parametrize(
    ("fault", "variant", "code"),
    [(Refusal("all places are taken", 7), "Overloaded", 1013), ("OSError: secret", "InternalError", 1011)],
)
def test_no_session(fault: Any, variant: str, code: int) -> None:
    """That there is no session is said, with when to come again; what went wrong inside is for the log."""
    talk = Talk()
    dialect = talk.dialect
    talk.tell(dialect.refused(fault) if isinstance(fault, Refusal) else dialect.failed(fault))
    [error] = talk.said
    assert (error["type"], error["variant"]) == ("Error", variant)
    assert "secret" not in str(error)
    assert ("7 s" in error["description"]) == (code == 1013)
    assert talk.closed is not None and talk.closed.code == code
    assert [note.detail for note in talk.notes] == ([] if code == 1013 else [{"reason": "OSError: secret"}])


def test_audio_that_comes_while_the_server_ends() -> None:
    """It is declared, behind the words of what came before; audio after a client's own end is not."""
    for leaving in (True, False):
        talk = Talk()
        talk.talk(0)
        talk.leave() if leaving else talk.ask(CLOSE)
        talk.talk(1)
        talk.answer_all()
        assert talk.closed is not None and talk.closed.code == (1012 if leaving else 1000)
        lost = talk.of("Error")
        assert len(lost) == leaving and all("shutting down" in each["description"] for each in lost)


def test_a_server_that_ends_before_all_is_answered() -> None:
    """What was sent is declared; where nothing was, there is nothing to declare."""
    for sent in (True, False):
        talk = Talk()
        if sent:
            talk.talk(0)
        talk.tell(talk.dialect.ended())
        assert talk.closed is not None and talk.closed.code == 1012
        assert [each["variant"] for each in talk.of("Error")] == ["AudioDropped"] * sent
