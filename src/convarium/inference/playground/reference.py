"""A program carried out by PyTorch: what the page's interpreter must answer, and what is checked before it is written."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from convarium.inference.playground.program import Operation, Program


def run_program(program: Program, images: Tensor) -> list[Tensor]:
    """Carries out a program.

    Args:
        program: of a network.
        images: normalized, (n, c, h, w).

    Returns:
        Every value, (n, *shape): the images first, and the logits last.
    """
    values = [images]
    for operation in program.operations:
        inputs = [values[index] for index in operation.inputs]
        values.append(_RUN[operation.name](operation, inputs).expand(len(images), *operation.shape))
    return values


Run = Callable[[Operation, Sequence[Tensor]], Tensor]


def _conv2d(operation: Operation, inputs: Sequence[Tensor]) -> Tensor:
    settings, tensors = operation.settings, operation.tensors
    return F.conv2d(
        inputs[0],
        tensors["weight"],
        tensors.get("bias"),
        settings["stride"],
        settings["padding"],
        settings["dilation"],
        settings["groups"],
    )


def _norm(operation: Operation, inputs: Sequence[Tensor]) -> Tensor:
    shape = (-1, *[1] * (len(operation.shape) - 1))
    return inputs[0] * operation.tensors["scale"].reshape(shape) + operation.tensors["shift"].reshape(shape)


def _elu(operation: Operation, inputs: Sequence[Tensor]) -> Tensor:
    settings = operation.settings
    negative = settings["alpha"] * torch.expm1(settings["input_scale"] * inputs[0])
    return settings["scale"] * torch.where(inputs[0] > 0, inputs[0], negative)


def _max_pool2d(operation: Operation, inputs: Sequence[Tensor]) -> Tensor:
    settings, (_, height, width) = operation.settings, operation.shape
    (stride_y, stride_x), dilation = settings["stride"], settings["dilation"]
    kernel, padding = settings["kernel"], settings["padding"]
    bottom, right = (
        max(0, (size - 1) * stride + d * (k - 1) + 1 - p - full)
        for size, stride, d, k, p, full in zip(
            (height, width), (stride_y, stride_x), dilation, kernel, padding, inputs[0].shape[2:], strict=True
        )
    )  # what rounding up adds
    padded = F.pad(inputs[0], (padding[1], right, padding[0], bottom), value=-torch.inf)
    return F.max_pool2d(padded, kernel, settings["stride"], 0, dilation)[:, :, :height, :width]


def _avg_pool2d(operation: Operation, inputs: Sequence[Tensor]) -> Tensor:
    settings = operation.settings
    return F.avg_pool2d(
        inputs[0],
        settings["kernel"],
        settings["stride"],
        settings["padding"],
        count_include_pad=settings["counts_padding"],
        divisor_override=settings["divisor"],
    )


def _pad(operation: Operation, inputs: Sequence[Tensor]) -> Tensor:
    sides: list[int] = []
    for before, size, full in zip(operation.settings["before"], inputs[0].shape[1:], operation.shape, strict=True):
        sides = [before, full - size - before, *sides]
    return F.pad(inputs[0], sides, value=operation.settings["value"])


def _slice(operation: Operation, inputs: Sequence[Tensor]) -> Tensor:
    axis, start, step = (operation.settings[name] for name in ("axis", "start", "step"))
    end = start + step * (operation.shape[axis] - 1) + 1
    return inputs[0].index_select(axis + 1, torch.arange(start, end, step))


def _scale(operation: Operation, inputs: Sequence[Tensor]) -> Tensor:
    return inputs[0] * operation.settings["factor"] + operation.settings["offset"]


_RUN: Mapping[str, Run] = {
    "constant": lambda o, x: o.tensors["value"][None],
    "conv2d": _conv2d,
    "linear": lambda o, x: F.linear(x[0], o.tensors["weight"], o.tensors.get("bias")),
    "norm": _norm,
    "relu": lambda o, x: F.relu(x[0]),
    "leaky_relu": lambda o, x: F.leaky_relu(x[0], o.settings["negative_slope"]),
    "prelu": lambda o, x: F.prelu(x[0], o.tensors["slope"]),
    "elu": _elu,
    "gelu": lambda o, x: F.gelu(x[0], approximate=o.settings["approximate"]),
    "silu": lambda o, x: F.silu(x[0]),
    "tanh": lambda o, x: torch.tanh(x[0]),
    "sigmoid": lambda o, x: torch.sigmoid(x[0]),
    "clamp": lambda o, x: x[0].clamp(o.settings["min_val"], o.settings["max_val"]),
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "adaptive_avg_pool2d": lambda o, x: F.adaptive_avg_pool2d(x[0], o.shape[1:]),
    "mean": lambda o, x: x[0].mean((2, 3)).reshape(-1, *o.shape),
    "add": lambda o, x: torch.add(x[0], x[1], alpha=o.settings["alpha"]),
    "multiply": lambda o, x: x[0] * x[1],
    "scale": _scale,
    "concatenate": lambda o, x: torch.cat(list(x), 1),
    "pad": _pad,
    "slice": _slice,
    "reshape": lambda o, x: x[0].reshape(-1, *o.shape),
    "softmax": lambda o, x: x[0].softmax(1),
}
