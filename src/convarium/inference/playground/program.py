"""A trained network as a short list of operations, which the page's interpreter carries out one by one.

`read_program` traces a network by `torch.export` and reads its graph. An operation that is not in the list is named in
an error: a network is shown as it is, or not at all.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

import torch
from torch import Tag, Tensor, fx, nn
from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from convarium.errors import ConvariumError
from convarium.inference.export_formats import quiet
from convarium.inference.playground.calls import Call, Value
from convarium.inference.playground.operations import READERS
from convarium.models.zoo.mlp import MemoryBlock

IMAGE = 0
"""The value that is the normalized image."""


class NotPlayableError(ConvariumError):
    """A network has an operation that the interpreter does not have."""


@dataclass(frozen=True)
class Operation:
    """One step of a network, which makes one value of others.

    Attributes:
        name: such as "conv2d", see `operations`.
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


def read_program(
    network: nn.Module, image: tuple[int, int, int], *, model: str, traced: ExportedProgram | None = None
) -> Program:
    """Reads a network in evaluation mode as operations, with the norms folded where nothing else reads their input.

    Args:
        network: with its weights; stays as it is.
        image: channels, height and width of the normalized images that it takes.
        model: what an error calls it.
        traced: what `trace` returned of it, whatever its weights were then; None: it is traced now.

    Raises:
        NotPlayableError: it cannot be traced, or has an operation that is not in the list.
    """
    traced = traced or trace(network, image, model=model)
    return fold_norms(_read(traced, _prepared(network).state_dict(), image, model=model))


def fold_norms(program: Program) -> Program:
    """Each norm is folded into the convolution before it, where nothing else reads that convolution."""
    readers = [0] * (len(program.operations) + 1)
    for operation in program.operations:
        for value in operation.inputs:
            readers[value] += 1
    replaced = {IMAGE: IMAGE}  # value of the old program → value of the new one
    folded: list[Operation] = []
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


def _prepared(network: nn.Module) -> nn.Module:
    """A copy of a network as it is traced."""
    copied = copy.deepcopy(network).cpu().float().eval().requires_grad_(requires_grad=False)
    copied.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for block in copied.modules():
        if isinstance(block, MemoryBlock):
            block.fold()
    return copied


def trace(network: nn.Module, image: tuple[int, int, int], *, model: str) -> ExportedProgram:
    """The graph of a network, see `read_program`."""
    try:
        with quiet(), torch.no_grad():
            traced: ExportedProgram = torch.export.export(_prepared(network), (torch.zeros((1, *image)),))
            functional: ExportedProgram = traced.run_decompositions({})  # nothing happens in place any more
            return functional
    except Exception as error:  # a user's own network may fail in any way
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        hint = "its forward must compute the same layers for every image"
        raise NotPlayableError(f"{model} is not playable: torch.export says {first!r}", hint=hint) from error


def _read(
    traced: ExportedProgram, weights: Mapping[str, Tensor], image: tuple[int, int, int], *, model: str
) -> Program:
    tensors = _tensors(traced, weights)
    known: dict[fx.Node, Any] = {}
    operations: list[Operation] = []

    def add(name: str, inputs: Sequence[Value], module: str, shape: tuple[int, ...], **more: Any) -> Value:
        operations.append(Operation(name, tuple(value.number for value in inputs), module, shape, **more))
        return Value(len(operations), shape)

    for node in traced.graph.nodes:
        if node.op == "placeholder":
            known[node] = tensors[node.name] if node.name in tensors else Value(IMAGE, image)
        if node.op != "call_function" or not node.users:
            continue
        target = str(node.target)
        if "getitem" in target:
            whole = known[node.args[0]]
            known[node] = whole if isinstance(whole, Value) else whole[node.args[1]]
            continue
        args, kwargs = _known(node.args, known), {name: _known(value, known) for name, value in node.kwargs.items()}
        if _is_constant(node, [*args, *kwargs.values()]):
            known[node] = node.target(*args, **kwargs)
            continue
        read, shape = READERS.get(target), _shape(node)
        module = next(reversed([path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]), "")
        found = (
            read(Call({name: _known(value, known) for name, value in _arguments(node).items()}, shape))
            if read
            else None
        )
        if found is None or not all(
            isfinite(number) for number in found.settings.values() if isinstance(number, float)
        ):
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
    answer = traced.graph_signature.user_outputs[0]  # others are what happened to buffers, or in place
    output = next(value for node, value in known.items() if node.name == answer)
    if not isinstance(output, Value) or output.number != len(operations) or len(output.shape) != 1:
        raise NotPlayableError(f"{model} is not playable: its last operation does not give logits")
    return Program(image, tuple(_with_shortcut(operations, index) for index in range(len(operations))))


def _tensors(traced: ExportedProgram, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters, buffers and constants of a graph by the names of their nodes, with these weights."""
    found = {}
    for spec in traced.graph_signature.input_specs:
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR):
            name = spec.arg.name
            target = str(spec.target)
            found[name] = weights[target] if target in weights else traced.constants[target]
    return found


def _arguments(node: fx.Node) -> dict[str, Any]:
    """The arguments of a call by their names, with their defaults."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    defaults = {argument.name: argument.default_value for argument in schema if argument.has_default_value()}
    given = {argument.name: value for argument, value in zip(schema, node.args, strict=False)}
    return defaults | given | dict(node.kwargs)


def _is_constant(node: fx.Node, given: Sequence[Any]) -> bool:
    """Whether a call has the same result for every image, such as that of a weight's own normalization."""
    target = node.target
    if not isinstance(target, OpOverload) or Tag.nondeterministic_seeded in target.tags:
        return False
    return not any(isinstance(item, Value) for value in given for item in (value if type(value) is list else [value]))


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
    if not first & second:
        return operation  # a bias, for example
    layers = [
        sum(operations[value - 1].name in ("conv2d", "linear") for value in own if value)
        for own in (first - second, second - first)
    ]
    if layers[0] == layers[1]:
        return operation
    return replace(operation, shortcut=layers.index(min(layers)))


def _ancestors(operations: Sequence[Operation], value: int) -> set[int]:
    found: set[int] = set()
    open_values = [value]
    while open_values:
        value = open_values.pop()
        if value not in found:
            found.add(value)
            if value:
                open_values += operations[value - 1].inputs
    return found
