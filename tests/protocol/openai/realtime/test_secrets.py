"""Keys for browsers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.protocol.openai.errors import RequestRefused
from asrctl.protocol.openai.realtime.secrets import Secrets

SESSION: dict[str, Any] = {"audio": {"input": {"transcription": {"prompt": "Größe"}}}}


def test_a_key_until_it_expires() -> None:
    """It carries what the session is to be; after its time, or another start, it is nothing."""
    now_s = 1000.5
    secrets = Secrets(b"k", lambda: now_s)
    value, expires_at = secrets.issue(SESSION)
    assert value.startswith("ek_")
    assert expires_at == 1600
    assert all(char.isalnum() or char in "_-" for char in value)
    assert secrets.session(value) == SESSION
    now_s = 1600.0
    with pytest.raises(RequestRefused, match="expired") as refused:
        secrets.session(value)
    assert (refused.value.status, refused.value.code) == (401, "invalid_api_key")
    now_s = 1000.5
    with pytest.raises(RequestRefused, match="start"):
        Secrets(b"other", lambda: now_s).session(value)
    later = secrets.issue(SESSION, {"anchor": "created_at", "seconds": 7200})
    assert later[1] == 8200


@pytest.mark.parametrize(
    "expires_after", [7, {"seconds": 9}, {"seconds": 7201}, {"seconds": "x"}, {"anchor": "never"}]
)
def test_times_that_make_no_sense(expires_after: object) -> None:
    """They are refused."""
    with pytest.raises(RequestRefused) as refused:
        Secrets(b"k", lambda: 0.0).issue({}, expires_after)
    assert (refused.value.param or "").startswith("expires_after")


def test_a_session_that_fits_no_header() -> None:
    """It is refused rather than cut."""
    with pytest.raises(RequestRefused, match="too large"):
        Secrets(b"k", lambda: 0.0).issue({"x": "y" * 4000})


@given(st.text(), st.integers(0, 200), st.characters())
def test_keys_that_were_not_issued(text: str, at: int, other: str) -> None:
    """Whatever is changed of one, it is none."""
    secrets = Secrets(b"k", lambda: 0.0)
    value, _ = secrets.issue(SESSION)
    at %= len(value)
    changed = value[:at] + other + value[at + 1 :]
    for wrong in {f"ek_{text}", changed} - {value}:
        if not wrong.startswith("ek_"):
            continue
        with pytest.raises(RequestRefused):
            secrets.session(wrong)
