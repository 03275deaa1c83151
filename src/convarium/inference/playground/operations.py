"""PyTorch's operations as those of the interpreter: how each call in a traced graph is read."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from convarium.inference.playground.arithmetic import (
    read_add,
    read_cat,
    read_div,
    read_mul,
    read_pad,
    read_reshape,
    read_rsub,
    read_same,
    read_slice,
    read_softmax,
)
from convarium.inference.playground.calls import Call, Found, Read, Value, image_of


def _pair(value: Any) -> list[int]:
    values = [int(v) for v in value] if isinstance(value, list | tuple) else [int(value)]
    return values * 2 if len(values) == 1 else values


def _conv2d(call: Call) -> Found | None:
    value, weight = image_of(call), call["weight"]
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
    if product is None:
        return None
    return product._replace(tensors={**product.tensors, "bias": call["self"].expand(call.shape)})


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


def _float32(call: Call) -> Found | None:
    """Every value is one of float32 already."""
    return Found(None, [call["self"]]) if call["dtype"] == torch.float32 else None


def _max_pool2d(call: Call) -> Found | None:
    value = image_of(call, "self")
    if value is None:
        return None
    settings = {"kernel": _pair(call["kernel_size"]), "stride": _pair(call["stride"] or call["kernel_size"])}
    return Found("max_pool2d", [value], settings | {name: _pair(call[name]) for name in ("padding", "dilation")})


def _avg_pool2d(call: Call) -> Found | None:
    value = image_of(call, "self")
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
    value = image_of(call, "self")
    return None if value is None else Found("adaptive_avg_pool2d", [value])


def _mean(call: Call) -> Found | None:
    value = image_of(call, "self")
    if value is None or call["dtype"] or sorted(d % 4 for d in call["dim"] or ()) != [2, 3]:
        return None
    return Found("mean", [value])


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
    "aten.add.Tensor": read_add,
    "aten.sub.Tensor": lambda call: read_add(call, -1),
    "aten.rsub.Scalar": read_rsub,
    "aten.mul.Tensor": read_mul,
    "aten.div.Tensor": read_div,
    "aten.cat.default": read_cat,
    "aten.pad.default": read_pad,
    "aten.constant_pad_nd.default": read_pad,
    "aten.slice.Tensor": read_slice,
    "aten.view.default": read_reshape,
    "aten.reshape.default": read_reshape,
    "aten._unsafe_view.default": read_reshape,
    "aten.flatten.using_ints": read_reshape,
    "aten.unsqueeze.default": read_reshape,
    "aten.squeeze.dims": read_reshape,
    "aten.squeeze.dim": read_reshape,
    "aten.softmax.int": read_softmax,
    "aten._softmax.default": read_softmax,
    "aten.to.dtype": _float32,
    "aten.dropout.default": read_same("input"),
    "aten.feature_dropout.default": read_same("input"),
    "aten.clone.default": read_same("self"),
    "aten.alias.default": read_same("self"),
    "aten.contiguous.default": read_same("self"),
    "aten.detach.default": read_same("self"),
}
"""How each of PyTorch's operations is read."""
