"""The worker process that listens to streams: a thread and a model for each, all of the same weights."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from typing import BinaryIO

from asrctl.errors import ModelError
from asrctl.providers.base import DecodeOptions, ListeningModel, ModelSpec
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Samples
from asrctl.workers import messages
from asrctl.workers.wire import WireClosed, read_frame, write_frame

_STEP_SAMPLES = SAMPLE_RATE_HZ
"""Who is late catches up in such steps, and says after each how far it is."""

_LAST_S = 1.0
"""A worker whose parent is gone has so long to end in order."""


class Listening:
    """Reads what is asked in one thread, and answers from those of the streams."""

    def __init__(self, source: BinaryIO, sink: BinaryIO, load: messages.Load) -> None:
        self._source = source
        self._sink = sink
        self._writing = threading.Lock()
        self._models = _Models(load.spec, load.streams)
        self._streams: dict[int, _Stream] = {}

    def run(self) -> None:
        """Load a model, then listen until the parent closes the pipe."""
        try:
            description = self._models.load_first()
        except Exception as error:
            self.say(messages.LoadFailed(isinstance(error, ModelError), messages.reason_of(error)))
            return
        self.say(messages.Loaded(description))
        with contextlib.suppress(WireClosed):
            while True:
                self._take(messages.message_of(*read_frame(self._source)))
        threading.Thread(target=_exit_soon, daemon=True).start()
        for stream in self._streams.values():
            stream.close()

    def say(self, reply: messages.StreamReply | messages.Loaded | messages.LoadFailed) -> None:
        """Answer; from any thread."""
        with self._writing, contextlib.suppress(WireClosed):  # the reading thread sees it too
            write_frame(self._sink, messages.header_of(reply))

    def _take(self, message: object) -> None:
        if isinstance(message, messages.Open):
            self._streams[message.stream] = _Stream(message, self._models, self)
        elif isinstance(message, messages.Close):
            self._streams.pop(message.stream).close()
        elif isinstance(message, messages.Feed):
            self._streams[message.stream].inbox.put(message.samples)
        elif isinstance(message, messages.End):
            self._streams[message.stream].inbox.put(None)
        else:
            raise WireClosed(f"{type(message).__name__} is not expected")


def _exit_soon() -> None:
    """Native code that hears of no cancellation would go on for nobody."""
    time.sleep(_LAST_S)
    os._exit(0)


class _Models:
    """As many models as there are streams; each is loaded when it is first needed, and then kept."""

    def __init__(self, spec: ModelSpec, most: int) -> None:
        self._spec = spec
        self._free: queue.SimpleQueue[ListeningModel] = queue.SimpleQueue()
        self._places = threading.Semaphore(most)
        self._loading = threading.Lock()

    def load_first(self) -> str:
        """Load one, to see whether that can be done; returns where it runs. Raises as `load_listening`."""
        model = self._load()
        self._free.put(model)
        return model.description()

    def take(self) -> ListeningModel:
        """One that nobody has; waits while all are taken, which is until those of closed streams are free."""
        self._places.acquire()
        try:
            return self._free.get_nowait()
        except queue.Empty:
            try:
                with self._loading:
                    return self._load()
            except BaseException:
                self._places.release()
                raise

    def put_back(self, model: ListeningModel) -> None:
        """It can be given to another stream."""
        self._free.put(model)
        self._places.release()

    def _load(self) -> ListeningModel:
        from asrctl.providers.registry import load_listening

        if not self._spec.path.exists():
            raise ModelError(f"{self._spec.path}: no such file")
        return load_listening(self._spec)


class _Stream:
    """A stream with its thread, which takes a model when it begins and puts it back when it is closed."""

    def __init__(self, opened: messages.Open, models: _Models, listening: Listening) -> None:
        self.inbox: queue.SimpleQueue[Samples | None] = queue.SimpleQueue()
        self._number = opened.stream
        self._options = opened.options
        self._models = models
        self._listening = listening
        self._model: ListeningModel | None = None
        self._having = threading.Lock()
        self._closed = threading.Event()
        threading.Thread(target=self._run, name=f"stream {self._number}", daemon=True).start()

    def close(self) -> None:
        """What is being recognised is given up; returns at once."""
        with self._having:
            self._closed.set()
            if self._model is not None:
                self._model.cancel()
        self.inbox.put(None)

    def _run(self) -> None:
        failure = ""
        try:
            self._model = self._models.take()
        except Exception as error:
            failure = messages.reason_of(error)
        utterance = 0
        while not self._closed.is_set():
            self._utter(utterance, failure)
            utterance += 1
        with self._having:  # what is cancelled now is not what the next stream does with the model
            model, self._model = self._model, None
        if model is not None:
            model.give_up()
            self._models.put_back(model)

    def _utter(self, utterance: int, failure: str) -> None:
        """Listen to one utterance; whatever goes wrong becomes the answer to its end."""
        heard = _Utterance(self._model, self._options, failure)
        ended = False
        while not ended:
            samples, ended = self._next()
            if self._closed.is_set():
                return
            for at in range(0, len(samples), _STEP_SAMPLES):
                if self._closed.is_set():
                    return
                text = heard.feed(samples[at : at + _STEP_SAMPLES])
                self._say(messages.Progress(self._number, utterance, heard.samples, *text))
        hypothesis = heard.finish()
        if hypothesis is None:
            self._say(messages.GivenUp(self._number, utterance, heard.failure))
        else:
            self._say(messages.Finished(self._number, utterance, hypothesis))

    def _say(self, reply: messages.StreamReply) -> None:
        if not self._closed.is_set():
            self._listening.say(reply)

    def _next(self) -> tuple[Samples, bool]:
        """All samples that wait, and whether the utterance ends behind them: who is late catches up."""
        import numpy as np

        pieces = []
        piece = self.inbox.get()
        while piece is not None:
            pieces.append(piece)
            try:
                piece = self.inbox.get_nowait()
            except queue.Empty:
                return np.concatenate(pieces), False
        return (np.concatenate(pieces) if pieces else np.zeros(0, np.float32)), True


class _Utterance:
    """What a model makes of an utterance, which begins with its first samples."""

    def __init__(self, model: ListeningModel | None, options: DecodeOptions, failure: str) -> None:
        self._model = model
        self._options = options
        self._text = ("", "")
        self.failure = failure
        """Why it cannot be recognised; empty if it can."""
        self.samples = 0
        """How many were taken."""

    def feed(self, samples: Samples) -> tuple[str, str]:
        """Take samples; the text so far."""
        begins = not self.samples
        self.samples += len(samples)
        if self._model is not None and not self.failure:
            try:
                if begins:
                    self._model.begin(self._options)
                self._text = self._model.feed(samples)
            except Exception as error:
                self.failure = messages.reason_of(error)
        return self._text

    def finish(self) -> Hypothesis | None:
        """All that it said; nothing, if there was no audio. None if it cannot be recognised."""
        if self.failure or self._model is None:
            return None
        if not self.samples:
            return Hypothesis((), self._options.language, 0.0)
        try:
            return self._model.finish()
        except Exception as error:
            self.failure = messages.reason_of(error)
            return None
