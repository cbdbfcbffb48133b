"""Groups: sessions that belong together, whose finals come as one stream to whoever subscribes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace

from asrctl.policy.merging import Merger
from asrctl.protocol.messages import Done, Final, Speaker, WireWord
from asrctl.protocol.openai.errors import bad_request, overloaded
from asrctl.server.files.exchange import ClientGone, Exchange
from asrctl.server.session import LiveSession

MAX_SUBSCRIBERS = 64
"""Of all groups."""
MAX_GROUPS = 64
"""Besides those that have sessions or subscribers: what was said in them can still be read."""
MAX_KEPT_EVENTS = 1000
MAX_KEPT_BYTES = 1 << 20
"""Of one group, for those who come late."""
MAX_WAIT_S = 10.0
"""A final waits no longer for earlier ones of other sessions."""
_MAX_HELD = 1000
_KEPT_S = 60.0
"""A group without sessions can be read for so long."""
_UNBEGUN_S = 600.0
"""A subscriber waits no longer for the first session."""
_KEEP_ALIVE_S = 10.0
_SEND_S = 30.0
"""A subscriber that takes nothing for so long is gone."""
_MAX_NAME_CHARS = 100

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class _Member:
    """A session of a group.

    Attributes:
        session_id: Its id.
        offset_s: When its audio began, since the group did.
        number: Which of the sessions that tell speakers apart it is, from 1; 0 if it does not. Each numbers
            its speakers from 1, and these may be others than those of the first.
    """

    session_id: str
    offset_s: float
    number: int

    def name(self, speaker: str | None) -> str | None:
        """What a speaker is called here."""
        return f"{speaker} ({self.number})" if speaker and self.number > 1 else speaker

    def said(self, final: Final) -> dict[str, object]:
        """A final, by the time of the group."""
        words = [self._word(word) for word in final.words or ()] if self.number else []
        return {
            "speaker": self.name(final.speaker),
            "by_voice": self.number > 0 or None,
            "session_id": self.session_id,
            "utterance": final.utterance,
            "start_s": self.time_s(final.start_s),
            "end_s": self.time_s(final.end_s),
            "text": final.text,
            "confidence": final.confidence,
            "language": final.language,
            "words": words or None,
        }

    def _word(self, word: WireWord) -> dict[str, object]:
        times = {"start_s": self.time_s(word.start_s), "end_s": self.time_s(word.end_s)}
        said = {**times, "text": word.text, "confidence": word.confidence}
        return {**said, "speaker": self.name(word.speaker)} if word.speaker else said

    def time_s(self, time_s: float) -> float:
        """A time since the session began as one since the group did."""
        return round(self.offset_s + time_s, 3)


class Group:
    """Finals of some sessions, in the order of their starts, since the first of them began."""

    def __init__(self, now_s: float) -> None:
        self.members: dict[LiveSession, _Member] = {}
        self.subscribers = 0
        self.began_s: float | None = None
        self.idle_s = now_s
        """Since when it has had no session."""
        self.ended = False
        self.is_cut = False
        """Whether sessions of it go on, or begin, at another server."""
        self.last_id = 0
        self.kept: deque[tuple[int, str]] = deque()
        self.changed = asyncio.Event()
        self._kept_bytes = 0
        self._merger = Merger[tuple[str, int]](MAX_WAIT_S, _MAX_HELD)
        self._held: dict[tuple[str, int], tuple[_Member, Final]] = {}
        """Finals that wait in the merger, by session and utterance."""
        self._by_voice = 0
        """How many sessions told speakers apart."""

    def join(self, session: LiveSession, now_s: float) -> None:
        """A session begins."""
        self.began_s = now_s if self.began_s is None else self.began_s
        start = session.state.start
        self._by_voice += bool(start.speakers)
        offset_s = now_s - self.began_s - start.audio_offset / start.format.sample_rate
        self.members[session] = _Member(session.session_id, offset_s, self._by_voice if start.speakers else 0)

    def take(self, session: LiveSession, final: Final, now_s: float) -> None:
        """A session of it said something."""
        key, member = (session.session_id, final.utterance), self.members[session]
        self._held[key] = member, final
        self._merger.push(member.offset_s + final.start_s, now_s, key)
        self.release(now_s)

    def correct(self, session: LiveSession, news: Speaker) -> None:
        """Who said a final is known better; one that is still held is said with that."""
        key, member = (session.session_id, news.utterance), self.members[session]
        if key in self._held:
            _, final = self._held[key]
            pairs = zip(final.words or (), news.words or (), strict=False)
            words = tuple(replace(word, speaker=name or None) for word, name in pairs)
            self._held[key] = member, replace(final, speaker=news.speaker, words=words)
        else:
            names = [member.name(name) for name in news.words or ()]
            about = {"session_id": session.session_id, "utterance": news.utterance}
            self._say("speaker", {"speaker": member.name(news.speaker), "words": names or None, **about})

    def release(self, now_s: float) -> None:
        """Say what no earlier final can come before."""
        settled = (member.offset_s + session.committed_s for session, member in self.members.items())
        for key in self._merger.due(min(settled, default=math.inf), now_s):
            member, final = self._held.pop(key)
            self._say("final", member.said(final))

    def _say(self, kind: str, said: dict[str, object]) -> None:
        self.last_id += 1
        known = {key: value for key, value in said.items() if value is not None}
        text = json.dumps({"type": kind, "id": self.last_id, **known})
        self.kept.append((self.last_id, text))
        self._kept_bytes += len(text)
        while len(self.kept) > MAX_KEPT_EVENTS or self._kept_bytes > MAX_KEPT_BYTES:
            self._kept_bytes -= len(self.kept.popleft()[1])
        self._tell()

    def leave(self, session: LiveSession, now_s: float, *, moves: bool = False) -> None:
        """A session has said all, or goes on elsewhere; with the last one the group ends, unless some do."""
        if self.members.pop(session, None) is None:
            return
        self.is_cut |= moves
        if not self.members:
            self.release(now_s)
            self.idle_s = now_s
            self.ended = not self.is_cut
            self._tell()

    def end(self) -> None:
        """Nothing more will be said."""
        self.ended = True
        self._tell()

    def cut(self) -> None:
        """Nothing more will be said here."""
        self.is_cut = True
        self._tell()

    def _tell(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class Groups:
    """All groups of a server, by name. Belongs to its event loop."""

    def __init__(self, clock: Clock) -> None:
        """None yet; `clock` gives monotonic seconds."""
        self._clock = clock
        self._groups: dict[str, Group] = {}
        self.subscribers = 0
        """Of all groups."""
        self.closing = False
        """Whether the server ends: sessions that leave go on at another one."""

    def _open(self, name: str) -> Group:
        return self._groups.setdefault(name, Group(self._clock()))

    def join(self, session: LiveSession) -> None:
        """A session begins, which may be in a group; one that has ended begins again."""
        if (name := session.state.start.group) is None:
            return
        if name in self._groups and self._groups[name].ended:
            del self._groups[name]
        self._open(name).join(session, self._clock())

    def said(self, session: LiveSession, news: object) -> None:
        """A session said something; finals with words, their speakers and its end are of interest."""
        group = self._groups.get(session.state.start.group or "")
        if group is None or session not in group.members:
            return
        if isinstance(news, Final) and news.text.strip():
            group.take(session, news, self._clock())
        elif isinstance(news, Speaker):
            group.correct(session, news)
        elif isinstance(news, Done):
            group.leave(session, self._clock())

    def leave(self, session: LiveSession) -> None:
        """A session is over here."""
        if (group := self._groups.get(session.state.start.group or "")) is not None:
            group.leave(session, self._clock(), moves=self.closing)

    def tick(self) -> None:
        """To be called a few times a second."""
        now_s = self._clock()
        for name, group in list(self._groups.items()):
            group.release(now_s)
            age_s = now_s - group.idle_s
            if not group.members and not group.ended and age_s >= _UNBEGUN_S:
                group.end()
            is_over = group.ended or group.is_cut
            if not group.members and not group.subscribers and (age_s >= _KEPT_S or not is_over):
                del self._groups[name]
        idle = [name for name, group in self._groups.items() if not group.members and not group.subscribers]
        for name in idle[:-MAX_GROUPS]:
            del self._groups[name]

    def close(self) -> None:
        """The server has ended: whoever subscribes hears no more, and not that this was all."""
        for group in self._groups.values():
            group.cut()

    # Subscribers

    async def serve(self, exchange: Exchange) -> None:
        """Answer a subscriber with events, until the group ends or the client leaves.

        Raises:
            RequestRefused: There is no such group, or no room.
        """
        name = exchange.path.removeprefix("/v1/groups/").removesuffix("/events")
        if not 0 < len(name) <= _MAX_NAME_CHARS:
            raise bad_request(f"a group's name has 1 to {_MAX_NAME_CHARS} characters", "group")
        if self.subscribers >= MAX_SUBSCRIBERS:
            raise overloaded("too many subscribers", 5)
        said = exchange.headers.get("last-event-id", "")[:15]
        last_id = int(said) if said.isdecimal() else 0
        self.subscribers += 1
        try:
            with exchange.kept():
                await exchange.attended(self._send(exchange, name, last_id))
        finally:
            self.subscribers -= 1

    async def _send(self, exchange: Exchange, name: str, last_id: int) -> None:
        await exchange.start_events()
        async with contextlib.aclosing(self._events(name, last_id)) as events:
            async for event in events:
                try:
                    async with asyncio.timeout(_SEND_S):
                        await exchange.event(event)
                except TimeoutError:
                    raise ClientGone from None
        await exchange.end_events()

    async def _events(self, name: str, last_id: int) -> AsyncGenerator[str]:
        """Server-sent events of a group; a subscriber that is behind what is kept is told what it missed."""
        group = self._open(name)
        group.subscribers += 1
        last_id = last_id if last_id <= group.last_id else 0  # it was of an older group of this name
        try:
            while True:
                changed = group.changed
                for number, text in [each for each in group.kept if each[0] > last_id]:
                    if number > last_id + 1:
                        yield f'data: {{"type": "missed", "count": {number - last_id - 1}}}\n\n'
                    last_id = max(number, last_id)
                    yield f"id: {number}\ndata: {text}\n\n"
                cut = group.is_cut and not group.members
                if (group.ended or cut) and last_id == group.last_id:
                    if group.ended:
                        yield 'data: {"type": "done"}\n\n'
                    return
                if changed is not group.changed:
                    continue
                try:
                    async with asyncio.timeout(_KEEP_ALIVE_S):
                        await changed.wait()
                except TimeoutError:
                    yield ": waiting\n\n"
        finally:
            group.subscribers -= 1
