"""The cost of a network and of training it: parameters, floating-point operations, time and memory.

FLOPs are those of one image's forward pass through convolutions, linear layers and matrix products, a multiply-add
counted as two. Norms, activations, pooling, additions and biases are not counted: they are the
smaller part by far, and PyTorch's own counter, which counts here, leaves them out too. A training step costs about
three forward passes: the backward pass computes the gradients of inputs and of weights.
"""

from dataclasses import replace
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from convarium.models.modes import evaluating
from convarium.records import Cost, ImageSpec, Layer


def count_parameters(network: nn.Module) -> int:
    """Trainable numbers; a tensor that two layers share counts once."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def count_flops(network: nn.Module, image: ImageSpec) -> int:
    """Floating-point operations of one image's forward pass; the network is not changed."""
    device = _stand_in_device(network, image)
    with FlopCounterMode(display=False) as counter:
        _run_once(network, image, device)
    return int(counter.get_total_flops())


def layer_costs(network: nn.Module, image: ImageSpec) -> Layer:
    """The network as one layer whose children are its layers, in the order in which they are called.

    Parameters that belong to a block itself, and products that it computes outside its layers, are a child under the
    block's own name; a layer that has parameters but is never called is the last child of the root. So the figures of
    the layers without children add up to the network's.
    """
    device = _stand_in_device(network, image)
    names = {module: name for name, module in network.named_modules()}
    own: dict[nn.Module, int] = {}
    counted: set[nn.Parameter] = set()
    levels: list[list[Layer]] = [[]]  # the finished layers of every block that is being executed, outermost first
    starts: list[int] = []
    counter = FlopCounterMode(display=False)

    for module in network.modules():
        new = {p for p in module.parameters(recurse=False) if p.requires_grad} - counted
        own[module] = sum(p.numel() for p in new)
        counted |= new

    def enter(_module: nn.Module, _inputs: Any) -> None:
        levels.append([])
        starts.append(counter.get_total_flops())

    def leave(module: nn.Module, _inputs: Any, output: Any) -> None:
        name, kind = names[module], type(module).__name__
        children, parameters = levels.pop(), own.pop(module, 0)
        shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else None
        flops = counter.get_total_flops() - starts.pop()
        own_flops = flops - sum(child.flops for child in children)
        if children and (parameters or own_flops):
            children.insert(0, Layer(name, kind, "itself", shape, parameters, own_flops))
        parameters = sum(child.parameters for child in children) if children else parameters
        levels[-1].append(Layer(name, kind, _detail(module), shape, parameters, flops, tuple(children)))

    handles = [module.register_forward_pre_hook(enter) for module in network.modules()]
    handles += [module.register_forward_hook(leave) for module in network.modules()]
    try:
        with counter:
            _run_once(network, image, device)
    finally:
        for handle in handles:
            handle.remove()
    ((root,),) = levels
    unused = [Layer(names[m], type(m).__name__, "never called", None, n, 0) for m, n in own.items() if n]
    parameters = root.parameters + sum(layer.parameters for layer in unused)
    return replace(root, parameters=parameters, children=(*root.children, *unused))


def measure_cost(
    network: nn.Module,
    *,
    flops: int,
    images: int,
    train_seconds: float,
    total_seconds: float,
    peak_memory_bytes: int | None,
) -> Cost:
    """The cost of a run that trained `network` on `images` images (counted once an epoch) in `train_seconds`.

    Args:
        network: the trained network.
        flops: of one image's forward pass, see `count_flops` and `layer_costs`.
        images: training images, counted once an epoch.
        train_seconds: wall-clock time of the training steps.
        total_seconds: wall-clock time of the whole run.
        peak_memory_bytes: see `Cost`.
    """
    return Cost(
        parameters=count_parameters(network),
        flops=flops,
        train_seconds=train_seconds,
        total_seconds=total_seconds,
        images_per_second=images / train_seconds if train_seconds else 0.0,
        peak_memory_bytes=peak_memory_bytes,
    )


def _stand_in_device(network: nn.Module, image: ImageSpec) -> Literal["meta", "cpu"]:
    """The device for one image: "meta", which computes nothing, unless the network reads values."""
    try:
        _run_once(network, image, "meta")
    except RuntimeError:
        return "cpu"
    return "meta"


def _run_once(network: nn.Module, image: ImageSpec, device: Literal["meta", "cpu"]) -> None:
    """Runs one image in evaluation mode over empty copies of all tensors; the network is not changed."""
    # By module and untied, because `functional_call` does not restore a layer that is used in two places.
    shadow = {
        f"{path}.{name}".removeprefix("."): torch.zeros_like(tensor, device=device, requires_grad=False)
        for path, module in network.named_modules()
        for name, tensor in chain(module.named_parameters(recurse=False), module.named_buffers(recurse=False))
    }
    dtype = next((parameter.dtype for parameter in network.parameters()), None)
    # In evaluation mode, because a batch norm in training mode refuses a single image of 1×1 pixels.
    with evaluating(network), torch.device(device), torch.no_grad():
        batch = torch.zeros(1, image.channels, image.height, image.width, dtype=dtype)
        torch.func.functional_call(network, shadow, batch, tie_weights=False)


def _detail(module: nn.Module) -> str:
    kernel, stride = getattr(module, "kernel_size", None), getattr(module, "stride", None)
    if kernel is None:
        return ""
    kernel, stride = (v if isinstance(v, tuple) else (v, v) for v in (kernel, stride or kernel))
    return "×".join(map(str, kernel)) + ("" if set(stride) == {1} else f" /{stride[0]}")
