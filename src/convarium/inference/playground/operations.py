"""PyTorch's operations as those of the interpreter: how each call in a traced graph is read."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Value(NamedTuple):
    """A value of the program: its number, and its shape without the batch."""

    number: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """A call in the graph.

    Attributes:
        arguments: by name: values of the program, tensors that do not depend on the image, numbers and lists.
        shape: of the result, without the batch.
    """

    arguments: Mapping[str, Any]
    shape: tuple[int, ...]

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]


class Found(NamedTuple):
    """How a call is read; one without a name is the value that it is given. An input may be a constant tensor."""

    name: str | None
    inputs: Sequence[Value | Tensor]
    settings: Mapping[str, Any] = {}
    tensors: Mapping[str, Tensor | None] = {}


Read = Callable[[Call], Found | None]
"""None: the interpreter has no operation that computes this."""


def _pair(value: Any) -> list[int]:
    values = [int(v) for v in value] if isinstance(value, list | tuple) else [int(value)]
    return values * 2 if len(values) == 1 else values


def _image(call: Call, name: str = "input") -> Value | None:
    """The argument, if it is a value of call.shape (c, h, w)."""
    value = call[name]
    return value if isinstance(value, Value) and len(value.shape) == 3 else None


def _conv2d(call: Call) -> Found | None:
    value, weight = _image(call), call["weight"]
    if value is None or not isinstance(weight, Tensor) or not isinstance(call["bias"], Tensor | None):
        return None
    padding = call["padding"]
    if isinstance(padding, str):
        padding = (
            [0, 0]
            if padding == "valid"
            else [d * (k - 1) / 2 for d, k in zip(_pair(call["dilation"]), weight.shape[2:], strict=True)]
        )
        if any(p != int(p) for p in padding):
            return None  # more on one side than on the other
    settings = {name: _pair(call[name]) for name in ("stride", "dilation")} | {
        "padding": _pair(padding),
        "groups": int(call["groups"]),
    }
    return Found("conv2d", [value], settings, {"weight": weight, "bias": call["bias"]})


def _linear(call: Call) -> Found | None:
    value, weight = call["input"], call["weight"]
    if not isinstance(value, Value) or len(value.shape) != 1 or not isinstance(weight, Tensor):
        return None
    return Found("linear", [value], {}, {"weight": weight, "bias": call["bias"]})


def _matmul(call: Call) -> Found | None:
    value, weight = call.arguments.get("self"), call.arguments.get("other", call.arguments.get("mat2"))
    if not isinstance(value, Value) or len(value.shape) != 1 or not isinstance(weight, Tensor) or weight.ndim != 2:
        return None
    return Found("linear", [value], {}, {"weight": weight.T.contiguous(), "bias": None})


def _addmm(call: Call) -> Found | None:
    if call["beta"] != 1 or call["alpha"] != 1 or not isinstance(call["self"], Tensor) or call["self"].ndim != 1:
        return None
    product = _matmul(Call({"self": call["mat1"], "other": call["mat2"]}, call.shape))
    return None if product is None else product._replace(tensors={**product.tensors, "bias": call["self"]})


def _norm(call: Call) -> Found | None:
    value = call["input"]
    if not isinstance(value, Value) or len(value.shape) not in (1, 3):
        return None
    mean, variance = call["running_mean"].double(), call["running_var"].double()
    scale = 1 / torch.sqrt(variance + call["eps"])
    scale = scale if call["weight"] is None else call["weight"].double() * scale
    shift = -mean * scale if call["bias"] is None else call["bias"].double() - mean * scale
    return Found("norm", [value], {}, {"scale": scale, "shift": shift})


def _activation(name: str, *settings: str) -> Read:
    def read(call: Call) -> Found | None:
        return Found(name, [call["self"]], {setting: _plain(call[setting]) for setting in settings})

    return read


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else float(value)


def _prelu(call: Call) -> Found | None:
    if not isinstance(call["weight"], Tensor) or not isinstance(call["self"], Value):
        return None
    return Found("prelu", [call["self"]], {}, {"slope": call["weight"].expand(call.shape[0])})


def _max_pool2d(call: Call) -> Found | None:
    value = _image(call, "self")
    if value is None:
        return None
    settings = {"kernel": _pair(call["kernel_size"]), "stride": _pair(call["stride"] or call["kernel_size"])}
    return Found("max_pool2d", [value], settings | {name: _pair(call[name]) for name in ("padding", "dilation")})


def _avg_pool2d(call: Call) -> Found | None:
    value = _image(call, "self")
    if value is None or call["ceil_mode"]:
        return None
    settings: dict[str, Any] = {
        "kernel": _pair(call["kernel_size"]),
        "stride": _pair(call["stride"] or call["kernel_size"]),
    }
    divisor = None if call["divisor_override"] is None else int(call["divisor_override"])
    settings |= {
        "padding": _pair(call["padding"]),
        "counts_padding": bool(call["count_include_pad"]),
        "divisor": divisor,
    }
    return Found("avg_pool2d", [value], settings)


def _adaptive_avg_pool2d(call: Call) -> Found | None:
    value = _image(call, "self")
    return None if value is None else Found("adaptive_avg_pool2d", [value])


def _mean(call: Call) -> Found | None:
    value = _image(call, "self")
    if value is None or sorted(d % 4 for d in call["dim"]) != [2, 3]:
        return None
    return Found("mean", [value])


def _add(call: Call, sign: int = 1) -> Found | None:
    return _sum(call["self"], call["other"], sign * call["alpha"], call.shape)


def _sum(first: Any, second: Any, alpha: float, shape: tuple[int, ...]) -> Found | None:
    """First + alpha · second, where either may be a number."""
    if isinstance(second, int | float):
        return Found("scale", [first], {"factor": 1.0, "offset": float(alpha * second)})
    if isinstance(first, int | float):
        return Found("scale", [second], {"factor": float(alpha), "offset": float(first)})
    return _pairwise("add", first, second, shape, {"alpha": float(alpha)})


def _rsub(call: Call) -> Found | None:
    return _sum(call["other"], call["self"], -call["alpha"], call.shape)


def _mul(call: Call) -> Found | None:
    first, second = call["self"], call["other"]
    if isinstance(second, int | float):
        return Found("scale", [first], {"factor": float(second), "offset": 0.0})
    return _pairwise("multiply", first, second, call.shape)


def _div(call: Call) -> Found | None:
    other = call["other"]
    if isinstance(other, int | float):
        return Found("scale", [call["self"]], {"factor": 1 / other, "offset": 0.0})
    return _pairwise("multiply", call["self"], 1 / other, call.shape) if isinstance(other, Tensor) else None


def _pairwise(
    name: str, first: Any, second: Any, shape: tuple[int, ...], settings: Mapping[str, Any] | None = None
) -> Found | None:
    """An operation value by value; a constant tensor becomes a value of the same shape, a smaller value is refused."""
    if any(isinstance(value, Value) and value.shape != shape for value in (first, second)):
        return None
    return Found(name, [first, second], settings or {})


def _cat(call: Call) -> Found | None:
    values = call["tensors"]
    if not all(isinstance(value, Value) for value in values) or call["dim"] % (len(call.shape) + 1) != 1:
        return None
    return Found("concatenate", values)


def _pad(call: Call) -> Found | None:
    value = _image(call, "self")
    sides = [int(side) for side in call["pad"]]
    sides += [0] * (6 - len(sides))
    if value is None or len(sides) != 6 or call.arguments.get("mode", "constant") != "constant" or min(sides) < 0:
        return None
    filling = call.arguments.get("value") or 0.0
    return Found("pad", [value], {"before": sides[4::-2], "value": float(filling)})


def _slice(call: Call) -> Found | None:
    value = call["self"]
    axis = call["dim"] % (len(call.shape) + 1) - 1
    if not isinstance(value, Value) or axis < 0:
        return None
    start = call["start"] or 0
    start = max(0, start + value.shape[axis]) if start < 0 else start
    return Found("slice", [value], {"axis": axis, "start": int(start), "step": int(call["step"])})


def _reshape(call: Call) -> Found | None:
    value = call["self"]
    if not isinstance(value, Value) or math.prod(value.shape) != math.prod(call.shape):
        return None
    return Found(None if value.shape == call.shape else "reshape", [value])


def _same(name: str) -> Read:
    def read(call: Call) -> Found | None:
        return Found(None, [call[name]])

    return read


def _softmax(call: Call) -> Found | None:
    if len(call.shape) != 1 or call["dim"] % 2 != 1:
        return None
    return Found("softmax", [call["self"]])


READERS: Mapping[str, Read] = {
    "aten.conv2d.default": _conv2d,
    "aten.conv2d.padding": _conv2d,
    "aten.linear.default": _linear,
    "aten.matmul.default": _matmul,
    "aten.mm.default": _matmul,
    "aten.addmm.default": _addmm,
    "aten._native_batch_norm_legit_no_training.default": _norm,
    "aten.relu.default": _activation("relu"),
    "aten.leaky_relu.default": _activation("leaky_relu", "negative_slope"),
    "aten.prelu.default": _prelu,
    "aten.elu.default": _activation("elu", "alpha", "scale", "input_scale"),
    "aten.gelu.default": _activation("gelu", "approximate"),
    "aten.silu.default": _activation("silu"),
    "aten.tanh.default": _activation("tanh"),
    "aten.sigmoid.default": _activation("sigmoid"),
    "aten.hardtanh.default": _activation("clamp", "min_val", "max_val"),
    "aten.relu6.default": lambda call: Found("clamp", [call["self"]], {"min_val": 0.0, "max_val": 6.0}),
    "aten.max_pool2d.default": _max_pool2d,
    "aten.avg_pool2d.default": _avg_pool2d,
    "aten.adaptive_avg_pool2d.default": _adaptive_avg_pool2d,
    "aten.mean.dim": _mean,
    "aten.add.Tensor": _add,
    "aten.sub.Tensor": lambda call: _add(call, -1),
    "aten.rsub.Scalar": _rsub,
    "aten.mul.Tensor": _mul,
    "aten.div.Tensor": _div,
    "aten.cat.default": _cat,
    "aten.pad.default": _pad,
    "aten.constant_pad_nd.default": _pad,
    "aten.slice.Tensor": _slice,
    "aten.view.default": _reshape,
    "aten.reshape.default": _reshape,
    "aten._unsafe_view.default": _reshape,
    "aten.flatten.using_ints": _reshape,
    "aten.unsqueeze.default": _reshape,
    "aten.squeeze.dims": _reshape,
    "aten.squeeze.dim": _reshape,
    "aten.softmax.int": _softmax,
    "aten._softmax.default": _softmax,
    "aten.dropout.default": _same("input"),
    "aten.feature_dropout.default": _same("input"),
    "aten.clone.default": _same("self"),
    "aten.alias.default": _same("self"),
    "aten.contiguous.default": _same("self"),
    "aten.detach.default": _same("self"),
}
"""How each of PyTorch's operations is read."""
