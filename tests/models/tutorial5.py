"""Checkpoints in the published layout of UvA Deep Learning tutorial 5, with random values in place of the trained."""

import sys
import types
from pathlib import Path

import pytest
import torch
from torch import Tensor

PRESETS = {
    "GoogleNet": "googlenet@uva",
    "ResNet": "resnet@uva",
    "ResNetPreAct": "preact_resnet@uva",
    "DenseNet": "densenet@uva",
}


def layout(network: str) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a published network, in the file's order."""
    text = Path(__file__).with_name("tutorial5_layout.txt").read_text()
    section = text.split(f"[{network}]\n")[1].split("\n\n")[0]
    shapes: dict[str, tuple[int, ...]] = {}
    for line in section.splitlines():
        name, kind, *rest = line.split()
        sizes = tuple(int(r) for r in rest if r != "bias")
        if kind == "norm":
            for leaf in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"{name}.{leaf}"] = sizes
            shapes[f"{name}.num_batches_tracked"] = ()
        else:
            shapes[f"{name}.weight"] = (*sizes, sizes[-1]) if kind == "conv" else sizes
            if kind == "linear" or "bias" in rest:
                shapes[f"{name}.bias"] = sizes[:1]
    return shapes


def tensors(network: str) -> dict[str, Tensor]:
    """Values that keep the signal's size, with norms that are far from the identity."""
    generator = torch.Generator().manual_seed(42)
    values: dict[str, Tensor] = {}
    for name, shape in layout(network).items():
        if name.endswith("num_batches_tracked"):
            values[name] = torch.tensor(63180)
        elif name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
            values[name] = 0.5 + torch.rand(shape, generator=generator)
        elif len(shape) > 1:
            fan_in = torch.Size(shape[1:]).numel()
            values[name] = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
        else:
            values[name] = 0.3 * torch.randn(shape, generator=generator)
    return values


def save_checkpoint(
    path: Path,
    values: dict[str, Tensor],
    monkeypatch: pytest.MonkeyPatch,
    *,
    module: str = "pytorch_lightning.utilities.parsing",
    zipped: bool = True,
) -> None:
    """Writes what Lightning writes, its class of hyper-parameters included, which nobody can import afterwards."""
    made = types.ModuleType(module)
    made.AttributeDict = type("AttributeDict", (dict,), {"__module__": module})
    hyper_parameters = made.AttributeDict(model_name="ResNet", model_hparams={"num_classes": 10, "act_fn_name": "relu"})
    checkpoint = {
        "epoch": 179,
        "global_step": 63180,
        "pytorch-lightning_version": "1.0.2",
        "state_dict": {f"model.{name}": value for name, value in values.items()},
        "hparams_name": "kwargs",
        "hyper_parameters": hyper_parameters,
    }
    with monkeypatch.context() as patch:
        parts = module.split(".")
        for i in range(1, len(parts)):
            patch.setitem(sys.modules, ".".join(parts[:i]), types.ModuleType(".".join(parts[:i])))
        patch.setitem(sys.modules, module, made)
        torch.save(checkpoint, path, _use_new_zipfile_serialization=zipped)
    assert sys.modules.get(module) is not made  # where Lightning itself is loaded, it stands there again
