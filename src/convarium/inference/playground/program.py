"""A trained network as a short list of operations, which the page's interpreter carries out one by one.

`read_program` traces a network by `torch.export` and reads its graph. An operation that is not in the list is named in
an error: a network is shown as it is, or not at all.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from convarium.errors import ConvariumError
from convarium.inference.export_formats import quiet
from convarium.models.zoo.mlp import MemoryBlock

IMAGE = 0
"""The value that is the normalized image."""


class NotPlayableError(ConvariumError):
    """A network has an operation that the interpreter does not have."""


@dataclass(frozen=True)
class Operation:
    """One step of a network, which makes one value of others.

    Attributes:
        name: a name in `OPERATIONS`.
        inputs: the values that it takes.
        module: the path of the module that it belongs to, such as "blocks.0.residual.3"; of a convolution with its
            norm folded in, that of the norm.
        shape: of the value that it makes, without the batch: (c, h, w) or (features,).
        settings: such as the stride, as JSON has them.
        tensors: such as the weight, float32.
        shortcut: of a sum of a block and its shortcut, which of the inputs is the shortcut; None elsewhere.
    """

    name: str
    inputs: tuple[int, ...]
    module: str
    shape: tuple[int, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    shortcut: int | None = None


@dataclass(frozen=True)
class Program:
    """A network as operations: value 0 is the normalized image, and operation i makes value i + 1; the last are logits.

    Attributes:
        image: (c, h, w) of the normalized image.
        operations: in the order in which they are carried out.
    """

    image: tuple[int, int, int]
    operations: tuple[Operation, ...]


def read_program(network: nn.Module, image: tuple[int, int, int], *, model: str) -> Program:
    """Reads a network in evaluation mode as operations, with the norms folded where nothing else reads their input.

    Args:
        network: with its weights; stays as it is.
        image: channels, height and width of the normalized images that it takes.
        model: what an error calls it.

    Raises:
        NotPlayableError: it cannot be traced, or has an operation that is not in the list.
    """
    return fold_norms(_read(_trace(network, image, model=model), image, model=model))


def fold_norms(program: Program) -> Program:
    """Each norm is folded into the convolution before it, where nothing else reads that convolution."""
    readers = [0] * (len(program.operations) + 1)
    for operation in program.operations:
        for value in operation.inputs:
            readers[value] += 1
    replaced: dict[int, int] = {}  # value of the old program → value of the new one
    folded: list[Operation] = []
    replaced[IMAGE] = IMAGE
    for value, operation in enumerate(program.operations, start=1):
        before = replaced[operation.inputs[0]] if operation.inputs else IMAGE
        if operation.name == "norm" and before and readers[operation.inputs[0]] == 1:
            conv = folded[before - 1]
            if conv.name == "conv2d":
                folded[before - 1] = _folded(conv, operation)
                replaced[value] = before
                continue
        folded.append(replace(operation, inputs=tuple(replaced[i] for i in operation.inputs)))
        replaced[value] = len(folded)
    return replace(program, operations=tuple(folded))


def _folded(conv: Operation, norm: Operation) -> Operation:
    scale, shift = norm.tensors["scale"].double(), norm.tensors["shift"].double()
    weight = conv.tensors["weight"].double() * scale.reshape(-1, 1, 1, 1)
    bias = shift if "bias" not in conv.tensors else shift + scale * conv.tensors["bias"].double()
    return replace(conv, module=norm.module, tensors={"weight": weight.float(), "bias": bias.float()})


class _Value(NamedTuple):
    """What a node of the graph is: a value of the program."""

    index: int
    shape: tuple[int, ...]


class _Found(NamedTuple):
    """How a node is read; an operation without a name is the value that it is given."""

    name: str | None
    inputs: Sequence[_Value]
    settings: Mapping[str, Any] = {}
    tensors: Mapping[str, Tensor | None] = {}


Arguments = Mapping[str, Any]


def _trace(network: nn.Module, image: tuple[int, int, int], *, model: str) -> ExportedProgram:
    copied = copy.deepcopy(network).cpu().float().eval().requires_grad_(requires_grad=False)
    copied.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for block in copied.modules():
        if isinstance(block, MemoryBlock):
            block.fold()
    try:
        with quiet(), torch.no_grad():
            return torch.export.export(copied, (torch.zeros((1, *image)),)).run_decompositions({})
    except Exception as error:  # a user's own network may fail in any way
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        hint = "its forward must compute the same layers for every image"
        raise NotPlayableError(f"{model} is not playable: torch.export says {first!r}", hint=hint) from error


def _read(traced: ExportedProgram, image: tuple[int, int, int], *, model: str) -> Program:
    tensors = _tensors(traced)
    known: dict[fx.Node, Any] = {}
    operations: list[Operation] = []

    def add(name: str, inputs: Sequence[_Value], module: str, shape: tuple[int, ...], **more: Any) -> _Value:
        operations.append(Operation(name, tuple(value.index for value in inputs), module, shape, **more))
        return _Value(len(operations), shape)

    for node in traced.graph.nodes:
        if node.op == "placeholder":
            known[node] = tensors[node.name] if node.name in tensors else _Value(IMAGE, image)
        if node.op != "call_function":
            continue
        target = str(node.target)
        if target.endswith("getitem>") or "getitem" in target:
            known[node] = known[node.args[0]]
            continue
        arguments = {name: _known(value, known) for name, value in _arguments(node).items()}
        read = OPERATIONS.get(target)
        shape = _shape(node)
        module = next(reversed([path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]), "")
        found = read(arguments, shape) if read is not None else None
        if found is None:
            where = f" in {module}" if module else ""
            hint = "leave it out, or export it as ONNX"
            raise NotPlayableError(f"{model} is not playable: it has the operation {target}{where}", hint=hint)
        inputs = [
            add("constant", (), module, shape, tensors={"value": value.expand(1, *shape)[0].contiguous().float()})
            if isinstance(value, Tensor)
            else value
            for value in found.inputs
        ]
        if found.name is None:
            known[node] = inputs[0]
            continue
        kept = {name: tensor.detach().float() for name, tensor in found.tensors.items() if tensor is not None}
        known[node] = add(found.name, inputs, module, shape, settings=found.settings, tensors=kept)
    output = known[next(node for node in reversed(traced.graph.nodes) if node.op == "output").args[0][0]]
    if not isinstance(output, _Value) or output.index != len(operations) or len(output.shape) != 1:
        raise NotPlayableError(f"{model} is not playable: its last operation does not give logits")
    return Program(image, tuple(_with_shortcut(operations, index) for index in range(len(operations))))


def _tensors(traced: ExportedProgram) -> dict[str, Tensor]:
    """The parameters, buffers and constants of a graph by the names of their nodes."""
    found = {}
    for spec in traced.graph_signature.input_specs:
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR):
            name = spec.arg.name
            target = str(spec.target)
            found[name] = traced.state_dict[target] if target in traced.state_dict else traced.constants[target]
    return found


def _arguments(node: fx.Node) -> dict[str, Any]:
    """The arguments of a call by their names, with their defaults."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    defaults = {argument.name: argument.default_value for argument in schema if argument.has_default_value()}
    given = {argument.name: value for argument, value in zip(schema, node.args, strict=False)}
    return defaults | given | dict(node.kwargs)


def _known(value: Any, known: Mapping[fx.Node, Any]) -> Any:
    if isinstance(value, fx.Node):
        return known[value]
    if isinstance(value, list | tuple):
        return [_known(item, known) for item in value]
    return value


def _shape(node: fx.Node) -> tuple[int, ...]:
    made = node.meta["val"]
    made = made[0] if isinstance(made, tuple | list) else made
    return tuple(int(size) for size in made.shape[1:])


def _with_shortcut(operations: Sequence[Operation], index: int) -> Operation:
    """Of a sum's two inputs, the shortcut is the one with fewer layers since both were one value."""
    operation = operations[index]
    if operation.name != "add" or operation.inputs[0] == operation.inputs[1]:
        return operation
    first, second = (_ancestors(operations, value) for value in operation.inputs)
    layers = [
        sum(operations[value - 1].name in ("conv2d", "linear") for value in own if value)
        for own in (first - second, second - first)
    ]
    if layers[0] == layers[1]:
        return operation
    return replace(operation, shortcut=layers.index(min(layers)))


def _ancestors(operations: Sequence[Operation], value: int) -> set[int]:
    found, open_values = set(), [value]
    while open_values:
        value = open_values.pop()
        if value not in found:
            found.add(value)
            if value:
                open_values += operations[value - 1].inputs
    return found


def _pair(value: Any) -> list[int]:
    values = [int(v) for v in value] if isinstance(value, list | tuple) else [int(value)]
    return values * 2 if len(values) == 1 else values


def _image(arguments: Arguments, name: str = "input") -> _Value | None:
    """The argument, if it is a value of shape (c, h, w)."""
    value = arguments[name]
    return value if isinstance(value, _Value) and len(value.shape) == 3 else None


def _conv2d(a: Arguments, shape: tuple[int, ...]) -> _Found | None:
    value, weight = _image(a), a["weight"]
    if value is None or not isinstance(weight, Tensor) or not isinstance(a["bias"], Tensor | None):
        return None
    padding = a["padding"]
    if isinstance(padding, str):
        padding = [0, 0] if padding == "valid" else [d * (k - 1) / 2 for d, k in zip(_pair(a["dilation"]), weight.shape[2:], strict=True)]
        if any(p != int(p) for p in padding):
            return None  # more on one side than on the other
    settings = {name: _pair(a[name]) for name in ("stride", "dilation")} | {"padding": _pair(padding), "groups": int(a["groups"])}
    return _Found("conv2d", [value], settings, {"weight": weight, "bias": a["bias"]})


def _linear(a: Arguments, shape: tuple[int, ...]) -> _Found | None:
    value, weight = a["input"], a["weight"]
    if not isinstance(value, _Value) or len(value.shape) != 1 or not isinstance(weight, Tensor):
        return None
    return _Found("linear", [value], {}, {"weight": weight, "bias": a["bias"]})


def _matmul(a: Arguments, shape: tuple[int, ...]) -> _Found | None:
    value, weight = a.get("self"), a.get("other", a.get("mat2"))
    if not isinstance(value, _Value) or len(value.shape) != 1 or not isinstance(weight, Tensor) or weight.ndim != 2:
        return None
    return _Found("linear", [value], {}, {"weight": weight.T.contiguous(), "bias": None})


def _addmm(a: Arguments, shape: tuple[int, ...]) -> _Found | None:
    if a["beta"] != 1 or a["alpha"] != 1 or not isinstance(a["self"], Tensor) or a["self"].ndim != 1:
        return None
    product = _matmul({"self": a["mat1"], "other": a["mat2"]}, shape)
    return None if product is None else product._replace(tensors={**product.tensors, "bias": a["self"]})


def _norm(a: Arguments, shape: tuple[int, ...]) -> _Found | None:
    value = a["input"]
    if not isinstance(value, _Value) or len(value.shape) not in (1, 3):
        return None
    mean, variance = a["running_mean"].double(), a["running_var"].double()
    scale = 1 / torch.sqrt(variance + a["eps"])
    scale = scale if a["weight"] is None else a["weight"].double() * scale
    shift = -mean * scale if a["bias"] is None else a["bias"].double() - mean * scale
    return _Found("norm", [value], {}, {"scale": scale, "shift": shift})


def _activation(name: str, *settings: str) -> Callable[[Arguments, tuple[int, ...]], _Found | None]:
    def read(a: Arguments, shape: tuple[int, ...]) -> _Found | None:
        return _Found(name, [a["self"]], {setting: _plain(a[setting]) for setting in settings})

    return read


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else float(value)


def _prelu(a: Arguments, shape: tuple[int, ...]) -> _Found | None:
    if not isinstance(a["weight"], Tensor) or not isinstance(a["self"], _Value):
        return None
    return _Found("prelu", [a["self"]], {}, {"slope": a["weight"].expand(shape[0])})


def _max_pool2d(a: Arguments, shape: tuple[int, ...]) -> _Found | None:
    value = _image(a, "self")
    if value is None:
        return None
    settings = {"kernel": _pair(a["kernel_size"]), "stride": _pair(a["stride"] or a["kernel_size"])}
    return _Found("max_pool2d", [value], settings | {name: _pair(a[name]) for name in ("padding", "dilation")})


def _avg_pool2d(a: Arguments, shape: tuple[int, ...]) -> _Found | None:
    value = _image(a, "self")
    if value is None or a["ceil_mode"]:
        return None
    settings: dict[str, Any] = {"kernel": _pair(a["kernel_size"]), "stride": _pair(a["stride"] or a["kernel_size"])}
    divisor = None if a["divisor_override"] is None else int(a["divisor_override"])
    settings |= {"padding": _pair(a["padding"]), "counts_padding": bool(a["count_include_pad"]), "divisor": divisor}
    return _Found("avg_pool2d", [value], settings)


def _adaptive_avg_pool2d(a: Arguments, shape: tuple[int, ...]) -> _Found | None:
    value = _image(a, "self")
    return None if value is None else _Found("adaptive_avg_pool2d", [value])


def _mean(a: Arguments, shape: tuple[int, ...]) -> _Found | None:
    value = _image(a, "self")
    if value is None or sorted(d % 4 for d in a["dim"]) != [2, 3]:
        return None
    return _Found("mean", [value])


def _add(a: Arguments, shape: tuple[int, ...], sign: int = 1) -> _Found | None:
    return _sum(a["self"], a["other"], sign * a["alpha"], shape)


def _sum(first: Any, second: Any, alpha: float, shape: tuple[int, ...]) -> _Found | None:
    """first + alpha · second, where either may be a number."""
    if isinstance(second, int | float):
        return _Found("scale", [first], {"factor": 1.0, "offset": float(alpha * second)})
    if isinstance(first, int | float):
        return _Found("scale", [second], {"factor": float(alpha), "offset": float(first)})
    return _pairwise("add", first, second, shape, {"alpha": float(alpha)})


def _rsub(a: Arguments, shape: tuple[int, ...]) -> _Found | None:
    return _sum(a["other"], a["self"], -a["alpha"], shape)


def _mul(a: Arguments, shape: tuple[int, ...]) -> _Found | None:
    first, second = a["self"], a["other"]
    if isinstance(second, int | float):
        return _Found("scale", [first], {"factor": float(second), "offset": 0.0})
    return _pairwise("multiply", first, second, shape)


def _div(a: Arguments, shape: tuple[int, ...]) -> _Found | None:
    other = a["other"]
    if isinstance(other, int | float):
        return _Found("scale", [a["self"]], {"factor": 1 / other, "offset": 0.0})
    return _pairwise("multiply", a["self"], 1 / other, shape) if isinstance(other, Tensor) else None


def _pairwise(
    name: str, first: Any, second: Any, shape: tuple[int, ...], settings: Mapping[str, Any] | None = None
) -> _Found | None:
    """An operation value by value; a constant tensor becomes a value of the same shape, a smaller value is refused."""
    if any(isinstance(value, _Value) and value.shape != shape for value in (first, second)):
        return None
    return _Found(name, [first, second], settings or {})


def _cat(a: Arguments, shape: tuple[int, ...]) -> _Found | None:
    values = a["tensors"]
    if not all(isinstance(value, _Value) for value in values) or a["dim"] % (len(shape) + 1) != 1:
        return None
    return _Found("concatenate", values)


def _pad(a: Arguments, shape: tuple[int, ...]) -> _Found | None:
    value = _image(a, "self")
    sides = [int(side) for side in a["pad"]]
    sides += [0] * (6 - len(sides))
    if value is None or len(sides) != 6 or a.get("mode", "constant") != "constant" or min(sides) < 0:
        return None
    filling = a.get("value") or 0.0
    return _Found("pad", [value], {"before": sides[4::-2], "value": float(filling)})


def _slice(a: Arguments, shape: tuple[int, ...]) -> _Found | None:
    value = a["self"]
    axis = a["dim"] % (len(shape) + 1) - 1
    if not isinstance(value, _Value) or axis < 0:
        return None
    start = a["start"] or 0
    start = max(0, start + value.shape[axis]) if start < 0 else start
    return _Found("slice", [value], {"axis": axis, "start": int(start), "step": int(a["step"])})


def _reshape(a: Arguments, shape: tuple[int, ...]) -> _Found | None:
    value = a["self"]
    if not isinstance(value, _Value) or math.prod(value.shape) != math.prod(shape):
        return None
    return _Found(None if value.shape == shape else "reshape", [value])


def _same(name: str) -> Callable[[Arguments, tuple[int, ...]], _Found | None]:
    def read(a: Arguments, shape: tuple[int, ...]) -> _Found | None:
        return _Found(None, [a[name]])

    return read


def _softmax(a: Arguments, shape: tuple[int, ...]) -> _Found | None:
    if len(shape) != 1 or a["dim"] % 2 != 1:
        return None
    return _Found("softmax", [a["self"]])


OPERATIONS: Mapping[str, Callable[[Arguments, tuple[int, ...]], _Found | None]] = {
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
    "aten.relu6.default": lambda a, shape: _Found("clamp", [a["self"]], {"min_val": 0.0, "max_val": 6.0}),
    "aten.max_pool2d.default": _max_pool2d,
    "aten.avg_pool2d.default": _avg_pool2d,
    "aten.adaptive_avg_pool2d.default": _adaptive_avg_pool2d,
    "aten.mean.dim": _mean,
    "aten.add.Tensor": _add,
    "aten.sub.Tensor": lambda a, shape: _add(a, shape, -1),
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
