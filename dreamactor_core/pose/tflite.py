"""Small networks in TensorFlow's `.tflite` form, run by ai-edge-litert or, without it, by torch.

Of the graph's operators torch runs those that the networks of blazepose use, and no others. Numbers
of fields and operators are those of the published schema (tensorflow/lite/schema/schema.fbs).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..errors import InputError
from .flatbuffer import Table, root

logger = logging.getLogger(__name__)

Network = Callable[[np.ndarray], dict[str, np.ndarray]]  # (1, h, w, 3) float32 -> output by name
RUNTIMES = ("litert", "torch")
LITERT = "ai_edge_litert.interpreter"
TYPES = {0: np.float32, 1: np.float16, 2: np.int32, 3: np.uint8, 4: np.int64}
INDICES = {1: np.int32, 2: np.uint16, 3: np.uint8}  # of the values of a sparse tensor
SAME_PADDING = 0  # padding: as many cells come out as go in / stride; the other kind pads nothing
RELU6 = 3  # the one activation that is built into an operator here


def open_tflite(path: Path, runtime: str | None = None) -> Network:
    """The network of a file, on one core of the CPU.

    runtime: one of RUNTIMES; None: litert where it runs, else torch, four times slower and the same
        to a thousandth of a pixel, which is said once.
    """
    if runtime is None:
        runtime = "litert" if _litert_runs() else "torch"
    return _litert(path) if runtime == "litert" else Graph(path.read_bytes())


def has_litert() -> bool:
    return find_spec("ai_edge_litert") is not None


@cache
def _litert_runs() -> bool:
    try:
        import_module(LITERT)
    except (ImportError, OSError) as error:  # not there, or not for this system
        logger.warning(
            "BlazePose runs on torch, four times slower, for ai-edge-litert does not run here "
            "(%s); `pip install ai-edge-litert` where there is one for this system.",
            error,
        )
        return False
    return True


def _litert(path: Path) -> Network:
    if not has_litert():
        fix = "Install it (pip install ai-edge-litert), or leave the runtime to be chosen."
        raise InputError("runtime litert", got="none", need="the package ai-edge-litert", fix=fix)
    interpreter = import_module(LITERT).Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]["index"]
    exits = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}

    def run(pixels: np.ndarray) -> dict[str, np.ndarray]:
        interpreter.set_tensor(entry, pixels)
        interpreter.invoke()
        return {name: interpreter.get_tensor(index) for name, index in exits.items()}

    return run


class Graph:
    """The graph of a file, run operator by operator. Pictures are (1, c, h, w) inside."""

    def __init__(self, data: bytes):
        model = root(data)
        codes = [max(code.number(0, "b"), code.number(3)) for code in model.tables(1)]
        graph, buffers = model.tables(2)[0], model.tables(4)
        self.inputs, self.outputs = graph.array(1).tolist(), graph.array(2).tolist()
        tensors = graph.tables(0)
        self.names = {number: tensors[number].text(3) for number in self.outputs}
        self.constants: dict[int, Tensor] = {}
        for number, tensor in enumerate(tensors):
            packed = buffers[tensor.number(2, "I")].array(0, np.uint8).tobytes()
            if packed:
                self.constants[number] = torch.from_numpy(_unpacked(tensor, packed))
        self.steps: list[tuple[Callable, list[int], Table | None, int]] = []
        for step in graph.tables(3):
            code, inputs, (output,) = codes[step.number(0, "I")], step.array(1), step.array(2)
            if code in UNPACKING:
                self.constants[int(output)] = self.constants[int(inputs[0])]
            else:
                self.steps.append((OPERATORS[code], inputs.tolist(), step.table(4), int(output)))

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        values = dict(self.constants)
        values[self.inputs[0]] = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        for run, inputs, options, output in self.steps:
            values[output] = run(options, *(values.get(number) for number in inputs))
        return {name: _rows_first(values[number]).numpy() for number, name in self.names.items()}


def _unpacked(tensor: Table, packed: bytes) -> np.ndarray:
    """A constant as it is used: floats in single precision, zeros of a sparse one put in."""
    shape, values = tensor.array(0), np.frombuffer(packed, TYPES[tensor.number(1, "b")])
    sparse = tensor.table(6)
    if sparse is not None:  # only along the last axis, in all files there are
        last = sparse.tables(2)[-1]
        ends, places = last.table(3), last.table(5)
        assert ends is not None and places is not None
        segments = ends.array(0, INDICES[last.number(2, "B")])
        columns = places.array(0, INDICES[last.number(4, "B")])
        dense = np.zeros((len(segments) - 1, shape[-1]), values.dtype)
        dense[np.repeat(np.arange(len(dense)), np.diff(segments.astype(int))), columns] = values
        values = dense
    values = values.reshape(shape)
    return values.astype(np.float32) if values.dtype == np.float16 else values.copy()


def _rows_first(x: Tensor) -> Tensor:
    """A picture in the order of the file, (1, h, w, c); anything else as it is."""
    return (x.permute(0, 2, 3, 1) if x.dim() == 4 else x).contiguous()


def _activated(x: Tensor, kind: int) -> Tensor:
    return x.clamp_(0, 6) if kind == RELU6 else x


def _pad(x: Tensor, kernel: tuple[int, int], stride: int, value: float = 0) -> Tensor:
    """What SAME_PADDING asks for: the odd cell goes to the right and below."""
    sides = []
    for size, reach in zip(reversed(x.shape[2:]), reversed(kernel), strict=True):
        lack = max((-(-size // stride) - 1) * stride + reach - size, 0)
        sides += [lack // 2, lack - lack // 2]
    return functional.pad(x, sides, value=value) if any(sides) else x


def _convolve(x: Tensor, weight: Tensor, bias: Tensor, options: Table, groups: int) -> Tensor:
    stride = options.number(1)
    if options.number(0, "b") == SAME_PADDING:
        x = _pad(x, tuple(weight.shape[2:]), stride)
    return functional.conv2d(x, weight, bias, stride, groups=groups)


def _conv(options: Table, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """weight: (out, h, w, in)."""
    out = _convolve(x, weight.permute(0, 3, 1, 2), bias, options, groups=1)
    return _activated(out, options.number(3, "b"))


def _depthwise_conv(options: Table, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """weight: (1, h, w, out)."""
    out = _convolve(x, weight.permute(3, 0, 1, 2), bias, options, groups=x.shape[1])
    return _activated(out, options.number(4, "b"))


def _max_pool(options: Table, x: Tensor) -> Tensor:
    kernel, stride = (options.number(4), options.number(3)), options.number(1)
    if options.number(0, "b") == SAME_PADDING:
        x = _pad(x, kernel, stride, -torch.inf)
    return functional.max_pool2d(x, kernel, stride)


def _add(options: Table, x: Tensor, y: Tensor) -> Tensor:
    return _activated(x + y, options.number(0, "b"))


def _zero_pad(options: Table | None, x: Tensor, sides: Tensor) -> Tensor:
    """sides: (4, 2), before and behind each axis of (1, h, w, c)."""
    _, rows, columns, channels = sides.tolist()
    return functional.pad(x, [*columns, *rows, *channels])


def _reshape(options: Table, x: Tensor, shape: Tensor) -> Tensor:
    return _rows_first(x).reshape(shape.tolist())


def _concatenate(options: Table, *tensors: Tensor) -> Tensor:
    return torch.cat(tensors, dim=options.number(0))


def _depth_to_space(options: Table, x: Tensor) -> Tensor:
    block, (_, c, h, w) = options.number(0), x.shape
    x = x.reshape(block, block, c // block**2, h, w).permute(2, 3, 0, 4, 1)
    return x.reshape(1, c // block**2, h * block, w * block)


def _resize_bilinear(options: Table, x: Tensor, size: Tensor) -> Tensor:
    return functional.interpolate(x, size.tolist(), mode="bilinear", align_corners=False)


def _logistic(options: Table | None, x: Tensor) -> Tensor:
    return x.sigmoid()


UNPACKING = {6, 124}  # from half precision, from sparse: constants are unpacked while reading
OPERATORS: dict[int, Callable[..., Tensor]] = {
    0: _add,
    2: _concatenate,
    3: _conv,
    4: _depthwise_conv,
    5: _depth_to_space,
    14: _logistic,
    17: _max_pool,
    22: _reshape,
    23: _resize_bilinear,
    34: _zero_pad,
}
