"""A program carried out by PyTorch: what the page's interpreter must answer, checked before it is written."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from convarium.inference.playground.program import IMAGE, Operation, Program


def run_program(program: Program, images: Tensor) -> Iterator[Tensor]:
    """Carries out a program; a value is given up once no later operation reads it.

    Args:
        program: of a network.
        images: normalized, (n, c, h, w).

    Yields:
        Every value, (n, *shape): the images first, and the logits last.
    """
    last = {number: i for i, operation in enumerate(program.operations) for number in operation.inputs}
    values = {IMAGE: images}
    yield images
    for i, operation in enumerate(program.operations):
        made = _run(operation, [values[number] for number in operation.inputs])
        values[i + 1] = made.expand(len(images), *operation.shape) if operation.name == "constant" else made
        yield values[i + 1]
        for number in set(operation.inputs):
            if last[number] == i:
                del values[number]


def run_logits(program: Program, images: Tensor) -> Tensor:
    """The logits (n, classes) alone."""
    (logits,) = deque(run_program(program, images), maxlen=1)
    return logits


def _run(operation: Operation, inputs: Sequence[Tensor]) -> Tensor:
    x = inputs[0] if inputs else torch.empty(0)
    settings, tensors, shape = operation.settings, operation.tensors, operation.shape
    match operation.name:
        case "constant":
            return tensors["value"][None]
        case "conv2d":
            how = [settings[name] for name in ("stride", "padding", "dilation", "groups")]
            return F.conv2d(x, tensors["weight"], tensors.get("bias"), *how)
        case "linear":
            return F.linear(x, tensors["weight"], tensors.get("bias"))
        case "norm":
            by_channel = (-1, *[1] * (len(shape) - 1))
            return x * tensors["scale"].reshape(by_channel) + tensors["shift"].reshape(by_channel)
        case "relu":
            return F.relu(x)
        case "leaky_relu":
            return F.leaky_relu(x, settings["negative_slope"])
        case "prelu":
            return F.prelu(x, tensors["slope"])
        case "elu":
            negative = settings["alpha"] * torch.expm1(settings["input_scale"] * x)
            return torch.mul(torch.where(x > 0, x, negative), settings["scale"])
        case "gelu":
            return F.gelu(x, approximate=settings["approximate"])
        case "silu":
            return F.silu(x)
        case "tanh":
            return torch.tanh(x)
        case "sigmoid":
            return torch.sigmoid(x)
        case "clamp":
            return x.clamp(settings["min_val"], settings["max_val"])
        case "max_pool2d":
            return _max_pool2d(x, settings, shape)
        case "avg_pool2d":
            kernel, stride, padding = (settings[name] for name in ("kernel", "stride", "padding"))
            counts, divisor = settings["counts_padding"], settings["divisor"]
            return F.avg_pool2d(x, kernel, stride, padding, count_include_pad=counts, divisor_override=divisor)
        case "adaptive_avg_pool2d":
            return F.adaptive_avg_pool2d(x, (shape[1], shape[2]))
        case "mean":
            return x.mean((2, 3)).reshape(-1, *shape)
        case "add":
            return torch.add(x, inputs[1], alpha=settings["alpha"])
        case "multiply":
            return x * inputs[1]
        case "scale":
            return torch.add(x * settings["factor"], settings["offset"])
        case "concatenate":
            return torch.cat(list(inputs), 1)
        case "pad":
            return _pad(x, settings, shape)
        case "slice":
            axis, start, step = (settings[name] for name in ("axis", "start", "step"))
            return x.index_select(axis + 1, torch.arange(start, start + step * (shape[axis] - 1) + 1, step))
        case "reshape":
            return x.reshape(-1, *shape)
        case "softmax":
            return x.softmax(1)
    raise ValueError(operation.name)


def _max_pool2d(x: Tensor, settings: Mapping[str, Any], shape: tuple[int, ...]) -> Tensor:
    """Also where the size is rounded up, as the output's shape says: what is missing at the end is padded."""
    bottom, right = (
        max(0, (size - 1) * stride + dilation * (kernel - 1) + 1 - padding - full)
        for size, stride, dilation, kernel, padding, full in zip(
            shape[1:],
            settings["stride"],
            settings["dilation"],
            settings["kernel"],
            settings["padding"],
            x.shape[2:],
            strict=True,
        )
    )
    top, left = settings["padding"]
    padded = F.pad(x, (left, right, top, bottom), value=-torch.inf)
    pooled = F.max_pool2d(padded, settings["kernel"], settings["stride"], 0, settings["dilation"])
    return pooled[:, :, : shape[1], : shape[2]]


def _pad(x: Tensor, settings: Mapping[str, Any], shape: tuple[int, ...]) -> Tensor:
    sides: list[int] = []
    for before, size, full in zip(settings["before"], x.shape[1:], shape, strict=True):
        sides = [before, full - size - before, *sides]
    return F.pad(x, sides, value=settings["value"])
