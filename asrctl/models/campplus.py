"""CAM++ (Wang et al. 2023, arXiv:2303.00332) as an ONNX graph, from the weights that 3D-Speaker publishes.

For at most 2 s of speech. The network pools context over pieces of 2 s; with one piece, that is the mean over
all of it, and the graph needs no lengths but that of its input.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrctl.errors import ModelError
from asrctl.models.onnx_file import OnnxGraph

FEATURES = 80
"""Mel bands."""
EMBEDDING = 192
"""Length of an embedding."""
MAX_FRAMES = 200
"""Frames of 10 ms: one piece of context."""
_BLOCKS = ((12, 1), (24, 2), (16, 2))
"""(layers, dilation) of each dense block."""
_EPSILON = 1e-5


def campplus(weights: Mapping[str, NDArray[Any]]) -> bytes:
    """The ONNX file: features (batch, frames, 80) in, embeddings (batch, 192) out.

    Raises:
        ModelError: The weights are those of another network.
    """
    try:
        return _Network(weights).encode()
    except KeyError as error:
        raise ModelError(f"the weights are not those of CAM++: {error} is missing") from error


class _Network:
    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self._weights = weights
        self._graph = OnnxGraph("campplus")
        self._names = count()

    def encode(self) -> bytes:
        graph = self._graph
        x = graph.node("Transpose", graph.input("features", ("batch", "frames", FEATURES)), perm=[0, 2, 1])
        x = self._head(graph.node("Unsqueeze", x, self._integers(1)))
        x = self._conv("xvector.tdnn.linear", x, strides=[2], pads=[2, 2])
        x = self._relu(self._norm("xvector.tdnn.nonlinear.batchnorm", x))
        for number, (layers, dilation) in enumerate(_BLOCKS, 1):
            x = self._block(f"xvector.block{number}", x, layers, dilation)
            x = self._relu(self._norm(f"xvector.transit{number}.nonlinear.batchnorm", x))
            x = self._conv(f"xvector.transit{number}.linear", x)
        x = self._statistics(self._relu(self._norm("xvector.out_nonlinear.batchnorm", x)))
        x = self._norm("xvector.dense.nonlinear.batchnorm", self._conv("xvector.dense.linear", x))
        graph.node("Squeeze", x, self._integers(2), output="embeddings")
        graph.output("embeddings", ("batch", EMBEDDING))
        return graph.encode()

    # Parts of the network

    def _head(self, x: str) -> str:
        """Convolutions over time and frequency; a quarter, then an eighth of the bands are left."""
        x = self._relu(self._norm("head.bn1", self._conv("head.conv1", x, pads=[1, 1, 1, 1])))
        for layer in ("head.layer1", "head.layer2"):
            x = self._residual(f"{layer}.0", x, stride=2)
            x = self._residual(f"{layer}.1", x, stride=1)
        x = self._conv("head.conv2", x, strides=[2, 1], pads=[1, 1, 1, 1])
        x = self._relu(self._norm("head.bn2", x))
        return self._graph.node("Reshape", x, self._integers(0, 32 * FEATURES // 8, -1))

    def _residual(self, name: str, x: str, stride: int) -> str:
        y = self._conv(f"{name}.conv1", x, strides=[stride, 1], pads=[1, 1, 1, 1])
        y = self._conv(f"{name}.conv2", self._relu(self._norm(f"{name}.bn1", y)), pads=[1, 1, 1, 1])
        y = self._norm(f"{name}.bn2", y)
        if stride > 1:
            x = self._norm(f"{name}.shortcut.1", self._conv(f"{name}.shortcut.0", x, strides=[stride, 1]))
        return self._relu(self._graph.node("Add", y, x))

    def _block(self, name: str, x: str, layers: int, dilation: int) -> str:
        """Each layer sees what all before it gave."""
        for number in range(1, layers + 1):
            layer = f"{name}.tdnnd{number}"
            y = self._relu(self._norm(f"{layer}.nonlinear1.batchnorm", x))
            y = self._norm(f"{layer}.nonlinear2.batchnorm", self._conv(f"{layer}.linear1", y))
            y = self._masked(f"{layer}.cam_layer", self._relu(y), dilation)
            x = self._graph.node("Concat", x, y, axis=1)
        return x

    def _masked(self, name: str, x: str, dilation: int) -> str:
        """A convolution, weighed by what the context is: the mean over all plus that over the piece."""
        graph = self._graph
        local = self._conv(f"{name}.linear_local", x, dilations=[dilation], pads=[dilation, dilation])
        mean = graph.node("ReduceMean", x, axes=[2], keepdims=1)
        context = self._relu(self._conv(f"{name}.linear1", graph.node("Add", mean, mean)))
        mask = graph.node("Sigmoid", self._conv(f"{name}.linear2", context))
        return graph.node("Mul", local, mask)

    def _statistics(self, x: str) -> str:
        """Mean and (unbiased) standard deviation over time."""
        graph = self._graph
        mean = graph.node("ReduceMean", x, axes=[2], keepdims=1)
        off = graph.node("Sub", x, mean)
        squares = graph.node("ReduceSum", graph.node("Mul", off, off), self._integers(2), keepdims=1)
        frames = graph.node("Gather", graph.node("Shape", x), self._integers(2), axis=0)
        freedom = graph.node("Cast", graph.node("Sub", frames, self._integers(1)), to=1)
        deviation = graph.node("Sqrt", graph.node("Div", squares, freedom))
        return graph.node("Concat", mean, deviation, axis=1)

    # Operators

    def _conv(self, name: str, x: str, **attributes: Any) -> str:
        tensors = [self._weight(f"{name}.weight")]
        if f"{name}.bias" in self._weights:
            tensors.append(self._weight(f"{name}.bias"))
        return self._graph.node("Conv", x, *tensors, **attributes)

    def _norm(self, name: str, x: str) -> str:
        """Batch normalisation; the last one has neither scale nor bias of its own."""
        mean, variance = self._weight(f"{name}.running_mean"), self._weight(f"{name}.running_var")
        if f"{name}.weight" in self._weights:
            scale, bias = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        else:
            length = len(self._weights[f"{name}.running_mean"])
            scale = self._graph.tensor(f"{name}.weight", np.ones(length, np.float32))
            bias = self._graph.tensor(f"{name}.bias", np.zeros(length, np.float32))
        return self._graph.node("BatchNormalization", x, scale, bias, mean, variance, epsilon=_EPSILON)

    def _relu(self, x: str) -> str:
        return self._graph.node("Relu", x)

    def _weight(self, name: str) -> str:
        return self._graph.tensor(name, self._weights[name])

    def _integers(self, *values: int) -> str:
        return self._graph.tensor(f"integers_{next(self._names)}", np.array(values, np.int64))
