"""Words and their keys, in all scripts."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.policy.words import syllables, word_key, words_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hello,", "hello"),
        ("Straße", "STRASSE"),
        ("cafe\u0301", "Café"),
        ("\uff21\uff22\uff23", "abc"),
        ("it\u2019s", "its"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u062e\u0648\u0627\u0647\u0645"),
        ("\u0643\u064e\u062a\u064e\u0628\u064e", "\u0643\u062a\u0628"),
        ("\u0645\u0640\u0640\u062f", "\u0645\u062f"),
        ("\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd", "\u05e9\u05dc\u05d5\u05dd"),
        ("\u0995\u09cb", "\u0995\u09c7\u09be"),
    ],
)
def test_spellings_of_one_word(one: str, other: str) -> None:
    """Case, accents' encoding, width, punctuation, joiners and optional points make no other word."""
    assert word_key(one) == word_key(other) != ""


@pytest.mark.parametrize(
    "words",
    ["का की के को कि कु", "কা কি কী কে কো", "กา กี กู กิ กุ", "கா கி கீ கு", "កា កី កេ", "à a ä", "5 6 ٥٦"],
)
def test_different_words(words: str) -> None:
    """Vowel signs and accents make another word: Devanagari, Bengali, Thai, Tamil, Khmer, Latin."""
    keys = [word_key(word) for word in words.split()]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Well-known things, isn't it? a_b", ["well", "known", "things", "isnt", "it", "a", "b"]),
        ("मैं घर जा रहा हूँ।", ["मैं", "घर", "जा", "रहा", "हूँ"]),
        ("আমি বাংলায় গান গাই", [unicodedata.normalize("NFKC", each) for each in ("আমি", "বাংলায়", "গান", "গাই")]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("今天天气\uff0c好。", ["今", "天", "天", "气", "好"]),
        ("GPUは速い", ["gpu", "は", "速", "い"]),
        ("안녕하세요 여러분", ["안녕하세요", "여러분"]),
        ("مرحبا، كيف حالك؟", ["مرحبا", "كيف", "حالك"]),
        (" -- ... ", []),
    ],
)
def test_words_of(text: str, words: list[str]) -> None:
    """Spaces and punctuation part words; scripts without spaces are taken letter by letter."""
    assert words_of(text) == words


@given(st.text())
def test_a_key_is_its_own_key(text: str) -> None:
    """What was made equal stays as it is, and holds no space."""
    key = word_key(text)
    assert word_key(key) == key
    assert not any(char.isspace() for char in key)
    assert all(word_key(word) == word != "" for word in words_of(text))


@pytest.mark.parametrize(
    ("word", "count"),
    [
        *(("go!", 1), ("five", 1), ("overcome", 3), ("today", 2), ("5", 1), ("555", 3), ("--", 0)),
        *(("天气", 2), ("안녕", 2), ("мама", 2), ("hmm", 1), ("नमस्ते", 2)),
    ],
)
def test_syllables(word: str, count: int) -> None:
    """Roughly as many as are spoken."""
    assert syllables(word) == count
