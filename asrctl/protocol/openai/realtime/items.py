"""The items of a conversation and their text, in the order that clients rely on.

They join deltas across items until one is completed, so there is never a delta of an item before the one
before it is completed, and none after that; all deltas of an item together are its transcript, and no text
is taken back.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from asrctl.events import Final
from asrctl.policy.agreement import prefix_distances
from asrctl.policy.words import word_key
from asrctl.protocol.dialect import SendText
from asrctl.protocol.openai.answer import seconds
from asrctl.protocol.openai.realtime.link import Link
from asrctl.protocol.openai.speakers import Labels
from asrctl.transcript import Segment

Say = Callable[..., SendText]
"""Makes an event of a type and its fields."""

_TRANSCRIPTION = "conversation.item.input_audio_transcription."


@dataclass(slots=True, eq=False)
class Item:
    """One stretch of audio with its text."""

    item_id: str
    text: str = ""
    """What is known of the transcript; it only grows."""
    said: int = 0
    """How many characters of it clients have."""
    heard_from: int = 0
    """Where in it the utterance begins that is heard now."""
    start_s: float = 0.0
    """Where its audio begins."""
    seconds: float = 0.0
    committed: bool = False
    known: bool = False
    """Whether all of the transcript is there, or will never be."""
    lost: str = ""
    """Why some of its audio was not transcribed."""
    language: str = ""
    turns: list[tuple[float, Segment]] = field(default_factory=list)
    """Who said what, each with when its session began."""

    def hear(self, text: str, *, final: bool) -> None:
        """Take what an utterance says as far as it is settled; the final is all of it."""
        begun = self.text[self.heard_from :].removeprefix(" ")
        more = rest_of(begun, text.strip())
        between = " " if self.heard_from and not begun and more else ""
        self.text += between + more
        if final:
            self.heard_from = len(self.text)


class Items:
    """Those that are not completed, the oldest first. Methods return what is to be sent, in order."""

    def __init__(self, say: Say, prefix: str) -> None:
        """`prefix` begins the ids of all items."""
        self._say = say
        self._prefix = prefix
        self._count = 0
        self._open: deque[Item] = deque()
        self._owed: deque[Item] = deque()  # what was committed, in that order
        self._last_id: str | None = None
        self._segments = 0
        self._labels = Labels(())
        self.is_live = False
        """Whether text is to come before an item is committed."""
        self.is_flat = False
        """Whether the client speaks the shape from before the general availability."""

    def begin(self, start_s: float) -> Item:
        """A new item, behind all others."""
        self._count += 1
        item = Item(f"{self._prefix}_{self._count}", start_s=start_s)
        self._open.append(item)
        return item

    def forget(self, item: Item) -> None:
        """An item that will never be committed."""
        self._open.remove(item)

    def commit(self, item: Item, end_s: float) -> list[SendText]:
        """Its audio is complete, and ends there."""
        item.committed, item.seconds = True, max(0.0, end_s - item.start_s)
        self._owed.append(item)
        previous, self._last_id = self._last_id, item.item_id
        named = {"previous_item_id": previous, "item_id": item.item_id}
        content = [{"type": "input_audio", "transcript": None}]
        whole = {
            "id": item.item_id,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": content,
        }
        kinds = ("created",) if self.is_flat else ("added", "done")
        return [
            self._say("input_audio_buffer.committed", **named),
            *(
                self._say(f"conversation.item.{kind}", previous_item_id=previous, item=whole)
                for kind in kinds
            ),
            *self._deltas(),
        ]

    def hear(self, item: Item, text: str, *, final: bool) -> list[SendText]:
        """An utterance of an item says this, as far as it is settled."""
        item.hear(text, final=final)
        return self._deltas()

    def take(self, item: Item, final: Final, link: Link) -> list[SendText]:
        """An utterance of an item is final, in the session that is open."""
        item.language = final.language
        if link.form.request.speakers:
            item.turns += [(link.begun_s, turn) for turn in final.segment.turns() if turn.text.strip()]
        return self.hear(item, final.segment.text, final=True)

    def complete(self, item: Item) -> list[SendText]:
        """All of its text is known, or why there is none; said once all before it are complete."""
        item.known = True
        outputs: list[SendText] = []
        while self._owed and self._owed[0].known:
            outputs += self._completed(self._owed.popleft())
        return outputs

    def fail(self, reason: str) -> list[SendText]:
        """No more will be known of anything."""
        unknown = [item for item in self._owed if not item.known]
        for item in unknown:
            item.lost = reason
        return [text for item in unknown for text in self.complete(item)]

    def _completed(self, item: Item) -> list[SendText]:
        outputs = self._deltas()
        self._open.remove(item)
        named = {"item_id": item.item_id, "content_index": 0}
        if item.lost:
            error = {"type": "server_error", "code": "audio_dropped", "message": item.lost, "param": None}
            return [*outputs, self._say(f"{_TRANSCRIPTION}failed", **named, error=error), *self._deltas()]
        outputs += [self._segment(item, *turn) for turn in item.turns]
        more: dict[str, object] = {"usage": {"type": "duration", "seconds": round(item.seconds, 3)}}
        if item.language:
            more["languages"] = [{"code": item.language}]
        completed = self._say(f"{_TRANSCRIPTION}completed", **named, transcript=item.text, **more)
        return [*outputs, completed, *self._deltas()]

    def _segment(self, item: Item, begun_s: float, turn: Segment) -> SendText:
        """Who said a part of an item; each session numbers its speakers anew, and they may be others."""
        self._segments += 1
        offset_s = begun_s - item.start_s
        return self._say(
            f"{_TRANSCRIPTION}segment",
            item_id=item.item_id,
            content_index=0,
            id=f"seg_{self._segments}",
            speaker=self._labels.of(turn.speaker and f"{begun_s} {turn.speaker}"),
            start=seconds(offset_s + turn.start_s),
            end=seconds(offset_s + turn.end_s),
            text=turn.text.strip(),
        )

    def _deltas(self) -> list[SendText]:
        """What the oldest item has to say that was not said."""
        if not self._open:
            return []
        head = self._open[0]
        delta = head.text[head.said :]
        if not delta or not (head.committed or self.is_live):
            return []
        head.said = len(head.text)
        return [self._say(f"{_TRANSCRIPTION}delta", item_id=head.item_id, content_index=0, delta=delta)]


def rest_of(begun: str, text: str) -> str:
    """What a text has beyond its beginning, which may have been heard in other words."""
    if text.startswith(begun):
        return text[len(begun) :]
    if not text:
        return ""
    spaced = " " in begun or " " in text
    before, after = (re.findall(r"\s*\S+" if spaced else r"\S", each) for each in (begun, text))
    distances = prefix_distances([word_key(each) for each in before], [word_key(each) for each in after])
    known = min(range(len(distances)), key=lambda length: (distances[length], abs(length - len(before))))
    return "".join(after[known:])
