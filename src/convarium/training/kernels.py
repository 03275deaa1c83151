"""A network whose training steps on a CPU run in Convarium's own kernels, while its layers stay PyTorch's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from convarium import kernels as native
from convarium.models.zoo.layers import AvgPool2d
from convarium.recipes.recipe import Recipe


def prepare_kernels(device: torch.device) -> None:
    """Has them compiled, where they are not yet, before anything is timed, and once for all threads."""
    if device.type == "cpu":
        native.library()


@contextmanager
def own_kernels(network: nn.Module, recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Within it `network`, in training, computes its layers as `convarium.kernels` does where it can.

    Only `forward` is exchanged, of convolutions, norms, and of a Sequential that calls a ReLU after a norm, or 2×2
    average pooling after a sigmoid or max pooling after a ReLU; a module that has a forward
    of its own keeps it. A Flatten has its gradient laid out as its images. Hooks that are there are called as ever. A
    float64 network, or images laid out otherwise, are left to PyTorch.
    """
    exchanged: dict[nn.Module, Callable[[Tensor], Tensor]] = {}
    if device.type == "cpu":
        for module in network.modules():
            if not _is_plain(module):
                continue
            calls = _calls(module) if type(module) is nn.Sequential else []
            if any(follower for _, follower in calls):
                exchanged[module] = partial(_chain, calls)
            elif type(module) is nn.BatchNorm2d and native.normalizes(module):
                exchanged[module] = partial(_norm, module, None)
            elif type(module) is nn.Conv2d and recipe.precision == "float32" and native.convolves(module):
                exchanged[module] = partial(_convolution, module)
            elif type(module) is nn.Conv2d and recipe.precision == "bfloat16" and native.convolves_directly(module):
                exchanged[module] = partial(_in_bfloat16, native.convolve_directly, module)
            elif type(module) is nn.Conv2d and recipe.precision == "bfloat16" and native.convolves_by_matrices(module):
                exchanged[module] = partial(_in_bfloat16, native.convolve_by_matrices, module)
            elif type(module) is nn.Flatten and native.library() and (module.start_dim, module.end_dim) == (1, -1):
                exchanged[module] = partial(_flattened, module)
    for module, forward in exchanged.items():
        module.forward = forward
    try:
        yield
    finally:
        for module in exchanged:
            del module.forward


def _is_plain(module: nn.Module) -> bool:
    """It computes as its class does."""
    return "forward" not in vars(module)


def _is_seen(module: nn.Module) -> bool:
    """It has a forward of its own, or someone looks at what goes into it or comes out."""
    kinds = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return any(kinds) or not _is_plain(module)


def _calls(sequence: nn.Sequential) -> list[tuple[nn.Module, nn.Module | None]]:
    """What a Sequential calls one after another; a module has with it the one called next if both become one."""
    modules = list(_flat(sequence))
    calls: list[tuple[nn.Module, nn.Module | None]] = []
    while modules:
        module, after = modules.pop(0), modules[0] if modules else None
        before = calls[-1] if calls else (None, None)
        if after is not None and _pair(before, module, after) and not any(map(_is_seen, (module, after))):
            calls.append((module, modules.pop(0)))
        else:
            calls.append((module, None))
    return calls


def _pair(before: tuple[nn.Module | None, nn.Module | None], module: nn.Module, after: nn.Module) -> bool:
    """Whether the two, called after those before, can be computed in one."""
    if type(module) is nn.BatchNorm2d:
        return type(after) is nn.ReLU and native.normalizes(module)
    if native.library() is None:
        return False
    if type(module) is nn.ReLU:
        # One that works in place changes what others may see, unless a convolution has just made it.
        unseen = not module.inplace or (isinstance(before[0], nn.Conv2d) and not _is_seen(before[0]))
        return type(after) is nn.MaxPool2d and _by_two(after) and unseen
    return type(module) is nn.Sigmoid and type(after) is AvgPool2d and after.by_two


def _by_two(pool: nn.MaxPool2d) -> bool:
    """It takes the largest of 2×2 pixels beside each other, where these are all."""
    plain = (pool.padding, pool.dilation, pool.return_indices) == (0, 1, False)
    return plain and pool.kernel_size in (2, (2, 2)) and pool.stride in (2, (2, 2))


def _flat(sequence: nn.Sequential) -> Iterator[nn.Module]:
    for child in sequence:
        if type(child) is nn.Sequential and not _is_seen(child):
            yield from _flat(child)
        else:
            yield child


def _chain(calls: list[tuple[nn.Module, nn.Module | None]], x: Tensor) -> Tensor:
    for module, follower in calls:
        if follower is None:
            x = module(x)
        elif isinstance(follower, AvgPool2d):
            x = _averaged(module, follower, x)
        elif isinstance(follower, nn.MaxPool2d):
            x = _maximized(module, follower, x)
        else:
            x = _norm(module, follower, x)
    return x


def _norm(layer: nn.Module, follower: nn.Module | None, x: Tensor) -> Tensor:
    assert isinstance(layer, nn.BatchNorm2d)
    if x.dtype in (torch.float32, torch.bfloat16) and _ready(layer, x, layer.num_features):
        pixels = x.numel() // layer.num_features
        if pixels > 1 and pixels % 4 == 0:
            return native.normalize(x, layer, relu=follower is not None)
    y = nn.BatchNorm2d.forward(layer, x)
    return y if follower is None else follower.forward(y)


def _averaged(sigmoid: nn.Module, pool: nn.Module, x: Tensor) -> Tensor:
    if x.dtype in (torch.float32, torch.bfloat16) and pool.training and _lies_last(x) and native.averages(x):
        return native.average_sigmoid(x)
    y: Tensor = pool.forward(sigmoid.forward(x))
    return y


def _maximized(relu: nn.Module, pool: nn.Module, x: Tensor) -> Tensor:
    if x.dtype in (torch.float32, torch.bfloat16) and pool.training and _lies_last(x) and native.maximizes(x):
        return native.maximize_relu(x)
    y: Tensor = pool.forward(relu.forward(x))
    return y


def _convolution(layer: nn.Conv2d, x: Tensor) -> Tensor:
    if x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu") and _fits(layer, x):
        return native.convolve(x, layer.weight, layer.bias, layer.stride[0], int(layer.padding[0]))
    return nn.Conv2d.forward(layer, x)


def _in_bfloat16(convolve: Callable[..., Tensor], layer: nn.Conv2d, x: Tensor) -> Tensor:
    if _is_half() and x.dtype in (torch.float32, torch.bfloat16) and _fits(layer, x):
        return convolve(x.to(torch.bfloat16), layer.weight, layer.bias, layer.stride[0], int(layer.padding[0]))
    return nn.Conv2d.forward(layer, x)


def _is_half() -> bool:
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16


def _fits(layer: nn.Conv2d, x: Tensor) -> bool:
    room = min(x.shape[-2:]) + 2 * int(layer.padding[0]) if x.ndim == 4 else 0
    plain = layer.bias is None or layer.bias.dtype == torch.float32
    return plain and room >= layer.kernel_size[0] and _ready(layer, x, layer.in_channels)


def _flattened(layer: nn.Flatten, x: Tensor) -> Tensor:
    """Its gradient comes back as the images lie: what comes before, a ReLU say, is slow where the two differ."""
    if x.ndim == 4 and x.grad_fn is not None and x.is_contiguous(memory_format=torch.channels_last):
        x.register_hook(_laid_out)  # type: ignore[no-untyped-call]
    return nn.Flatten.forward(layer, x)


def _laid_out(gradient: Tensor) -> Tensor:
    return gradient.contiguous(memory_format=torch.channels_last)


def _ready(layer: nn.Conv2d | nn.BatchNorm2d, x: Tensor, channels: int) -> bool:
    """Whether the layer is being trained in float32, on images of so many channels that lie as (n, h, w, c)."""
    trained = layer.training and layer.weight.dtype == torch.float32
    return trained and _lies_last(x) and x.shape[1] == channels


def _lies_last(x: Tensor) -> bool:
    """Images of (n, h, w, c) in memory."""
    lies = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return bool(lies and x.numel() and x.device.type == "cpu")
