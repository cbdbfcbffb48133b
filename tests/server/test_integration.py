"""The real thing: whisper.cpp behind the server."""

from __future__ import annotations

import pytest

from asrctl.audio.sample import SAMPLE_WORDS, sample_speech
from asrctl.protocol.messages import Final

from ..streaming.speech import silence
from .servers import Running, Talker, check_account, pcm


@pytest.mark.integration
def test_a_real_sentence(real: Running) -> None:
    """A sentence through the server has its words, also with a lost socket in the middle."""
    talker = Talker(real.url, pcm(sample_speech()) + pcm(silence(1.0)), words=True).connect()
    talker.send(1.0)
    talker.cut()
    talker.connect()
    done = talker.finish()
    talker.__exit__(None, None, None)
    heard = {word.strip(".,").casefold() for word in talker.words}
    assert heard >= SAMPLE_WORDS
    assert all(final.words for final in talker.of(Final) if final.text)
    assert done.dropped_s == 0
    check_account(done)
