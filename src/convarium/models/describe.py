"""Describes networks layer by layer, and compares two of them, on the meta device, which computes nothing."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from torch import nn

from convarium.errors import ImageSizeError
from convarium.models.alignment import aligned
from convarium.models.build import check_image, load_architecture
from convarium.models.cost import layer_costs
from convarium.models.factories import Factory
from convarium.models.index import NETWORKS, resolve
from convarium.models.layer_tables import short_count
from convarium.records import Description, ImageSpec, Layer


@dataclass(frozen=True)
class Difference:
    """Two networks on the same images: (" ", layer of both), ("-", layer of `a` alone), ("+", layer of `b` alone)."""

    a: Description
    b: Description
    rows: tuple[tuple[str, Layer], ...]


def describe(model: str, image: ImageSpec) -> Description:
    """Describes a network without computing anything; ResNet-1001 takes as little memory as LeNet.

    Raises:
        SpecError: the spec is wrong.
        ImageSizeError: the network cannot take such images.
    """
    architecture = load_architecture(model)
    try:
        with torch.device("meta"):
            network = architecture.build(image)
        return describe_network(network, model, image)
    except (ImageSizeError, RuntimeError):
        check_image(model, image)  # says which layer and which size would do
        raise


def describe_network(network: nn.Module, model: str, image: ImageSpec) -> Description:
    """Describes a network that has been built; it stays as it is.

    Args:
        network: the network.
        model: the spec that it was built from.
        image: the images that it takes.
    """
    resolved = resolve(model)
    if resolved.is_custom:
        citation, summary = _origin(load_architecture(model).factory)
    else:
        citation, summary = NETWORKS[resolved.name].citation, NETWORKS[resolved.name].summary
    return Description(
        model=model,
        image=image,
        root=layer_costs(network, image),
        citation=citation,
        summary=summary,
        source=resolved.preset.source if resolved.preset else None,
        note=(resolved.preset.note or None) if resolved.preset else None,
    )


def as_json(description: Description) -> dict[str, Any]:
    """The form of `convarium describe --json`."""
    root = description.root
    layers = [_row(layer) for layer in description.layers]
    return {"model": description.model, "parameters": root.parameters, "flops": root.flops, "layers": layers}


def diff(a: str, b: str, image: ImageSpec) -> Difference:
    """Compares two networks layer by layer, by type, kernel, output shape and parameters, see `aligned`.

    Raises:
        SpecError: a spec is wrong.
        ImageSizeError: one of the two cannot take such images.
    """
    first, second = describe(a, image), describe(b, image)
    return Difference(first, second, aligned(first.layers, second.layers))


def diff_as_json(difference: Difference) -> dict[str, Any]:
    """Totals of both and all rows, each with its "change": " ", "-" or "+"."""
    totals = {
        side: {"model": d.model, "parameters": d.root.parameters, "flops": d.root.flops}
        for side, d in (("a", difference.a), ("b", difference.b))
    }
    return {**totals, "layers": [{"change": change, **_row(layer)} for change, layer in difference.rows]}


def as_tree(description: Description) -> RenderableType:
    """The network as a tree for the terminal; equal neighbors are drawn once, with the figures of one of them."""
    table = _table("layer")
    for name, layer in _branches(description.root.children):
        _add(table, Text(name), layer)
    table.add_section()
    _add(table, Text("total", "bold"), description.root)
    image = description.image
    size = f"{image.channels}×{image.height}×{image.width}"
    title = Text.assemble((description.model, "bold"), f" on {size} images of {image.classes} classes")
    facts = [description.summary, description.citation]
    facts += [f"Source: {description.source}"] if description.source else []
    facts += [f"Note: {description.note}"] if description.note else []
    facts += ["FLOPs of one image's forward pass, a multiply-add counted as two. ×n: n equal in a row, figures of one."]
    return Group(title, table, *(Text(fact, "dim") for fact in facts if fact))


def as_diff(difference: Difference) -> RenderableType:
    """The difference for the terminal: − of the first, + of the second; layers of both are counted, not shown."""
    a, b = difference.a, difference.b
    table = _table("")
    for change, rows in groupby(difference.rows, key=lambda row: row[0]):
        layers = [layer for _, layer in rows]
        if change == " ":
            table.add_row(Text(f"  {len(layers)} equal layer{'s' * (len(layers) > 1)}", "dim"))
        for layer in layers if change != " " else ():
            sign, style = ("−", "red") if change == "-" else ("+", "green")
            _add(table, Text(f"{sign} {layer.name} {layer.type} {layer.detail}".rstrip(), style), layer)
    table.add_section()
    _add(table, Text(f"− {a.model}", "bold red"), a.root)
    _add(table, Text(f"+ {b.model}", "bold green"), b.root)
    same = all(change == " " for change, _ in difference.rows)
    verdict = "No difference in types, kernels, shapes and parameters; names, initial weights and options may differ."
    return Group(table, Text(verdict)) if same else table


def _row(layer: Layer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "type": layer.type,
        "output_shape": None if layer.output_shape is None else list(layer.output_shape),
        "parameters": layer.parameters,
        "flops": layer.flops,
    }


def _origin(factory: Factory) -> tuple[str, str]:
    """The citation (first paragraph of the file that defines a factory) and the factory's first line."""
    module = inspect.getmodule(inspect.unwrap(factory))
    citation = inspect.cleandoc(module.__doc__ or "").partition("\n\n")[0] if module else ""
    summary = inspect.cleandoc(factory.__doc__ or "").partition("\n")[0]
    return " ".join(citation.split()), summary


def _branches(layers: tuple[Layer, ...], indent: str = "") -> Iterator[tuple[str, Layer]]:
    """Every layer with its name after the lines of the tree; equal neighbors as one."""
    groups = [list(group) for _, group in groupby(layers, key=_likeness)]
    for number, group in enumerate(groups):
        first, last, ends = group[0], group[-1], number == len(groups) - 1
        name = first.name.rpartition(".")[2] + (f"…{last.name.rpartition('.')[2]}" if len(group) > 1 else "")
        times = f" ×{len(group)}" if len(group) > 1 else ""
        yield f"{indent}{'└─' if ends else '├─'} {name} {first.type}{times} {first.detail}".rstrip(), first
        yield from _branches(first.children, indent + ("   " if ends else "│  "))


def _likeness(layer: Layer) -> tuple[Any, ...]:
    children = tuple(map(_likeness, layer.children))
    return layer.type, layer.detail, layer.output_shape, layer.parameters, layer.flops, children


def _table(first: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(first, overflow="fold")
    for title in ("output", "parameters", "FLOPs"):
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _add(table: Table, name: Text, layer: Layer) -> None:
    shape = "" if layer.output_shape is None else "×".join(map(str, layer.output_shape))
    weights = f"{layer.parameters:,}" if layer.parameters else ""
    flops = short_count(layer.flops) if layer.flops else ""
    style = "bold" if layer.children else ""
    table.add_row(name, Text(shape, style), Text(weights, style), Text(flops, style))
