"""A network for a CPU's training steps that shares every tensor with the plain one and has faster modules."""

import gc
from collections import OrderedDict
from collections.abc import Iterator
from types import FunctionType, ModuleType
from weakref import ReferenceType

import torch
from torch import Tensor, nn
from torch.nn.modules import module as module_hooks
from torch.nn.utils import parametrize

from convarium import kernels
from convarium.models.zoo.layers import OVERWRITES
from convarium.recipes.recipe import Recipe
from convarium.training.attribute_stores import stores_attributes

_GLOBAL_HOOKS = ("forward", "forward_pre", "backward", "backward_pre")


def accelerate(
    network: nn.Module, recipe: Recipe, device: torch.device, generator: torch.Generator | None = None
) -> nn.Module:
    """A second network object for training steps, which shares `network`'s parameters and buffers.

    Every module of it is a new object with the attributes of the original. Where `convarium.kernels` supports a
    convolution or a batch norm, a subclass takes its place that computes faster in training mode; the zoo's ReLU works
    in place, and dropout draws from `generator`. `network` is not changed: it is the one to score, to save and to
    export. Each of the two has its own train/eval mode.

    A module with hooks, a parametrization or a `forward` of its own is shared as it is, with all that it contains, and
    so is a module whose `forward` sets Python attributes, such as a counter, which the two would count apart. A
    network that refers to modules other than through its submodules (from a list, a closure, a bound method) cannot be
    copied module by module; it is returned itself, and so is every network on another device than the CPU.

    Args:
        network: already on its device and in its memory layout.
        recipe: whose precision decides which convolutions are supported.
        device: on which the network trains.
        generator: for dropout masks, so that runs in one process do not draw each other's numbers. They are the masks
            that `nn.Dropout` draws from a global generator in the same state. None: the global generator.
    """
    if device.type != "cpu" or _has_hidden_modules(network):
        return network
    return _copied(network, {}, getattr(torch, recipe.precision), generator)


def _copied(
    module: nn.Module, copies: dict[int, nn.Module], dtype: torch.dtype, generator: torch.Generator | None
) -> nn.Module:
    """The module's copy, made once even if several modules share it."""
    if id(module) in copies:
        return copies[id(module)]
    if _is_customized(module) or stores_attributes(module):
        copies[id(module)] = module
        return module
    copy = object.__new__(_faster_class(module, dtype, generator))
    vars(copy).update(vars(module))  # the same dicts of parameters, buffers and hooks
    copies[id(module)] = copy
    vars(copy)["_modules"] = {
        name: child if child is None else _copied(child, copies, dtype, generator)
        for name, child in module._modules.items()
    }
    if type(copy) is nn.ReLU and OVERWRITES in vars(copy):
        vars(copy)["inplace"] = True  # of the copy alone
    elif isinstance(copy, Dropout):
        vars(copy)["generator"] = generator
    elif type(copy) is nn.Sequential and any(relu for _, relu in _calls(copy)):
        copy.__class__ = FusedSequential
        vars(copy)["calls"] = _calls(copy)
    return copy


def _faster_class(module: nn.Module, dtype: torch.dtype, generator: torch.Generator | None) -> type[nn.Module]:
    """The class of the module's copy: one of this file's or the module's own."""
    if type(module) is nn.Conv2d and kernels.supports_conv2d(module, dtype):
        return WinogradConv2d if dtype == torch.float32 else DirectConv2d
    if type(module) is nn.BatchNorm2d and kernels.supports_batch_norm(module):
        return FusedBatchNorm2d
    if type(module) is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1) and kernels.is_available():
        return Flatten
    if type(module) is nn.Dropout and 0 < module.p < 1 and generator is not None:
        return Dropout
    return type(module)


class WinogradConv2d(nn.Conv2d):
    """A float32 convolution by `kernels.conv2d`; outside of training, and for inputs it refuses, by PyTorch."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) → (n, k, h', w')"""
        if self.training and not torch.is_autocast_enabled("cpu"):
            return _convolved(self, x, x)
        return super().forward(x)


class DirectConv2d(nn.Conv2d):
    """A convolution under bfloat16 autocast by `kernels.conv2d`; otherwise by PyTorch."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) → (n, k, h', w')"""
        autocast = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
        if self.training and autocast and x.dtype in (torch.float32, torch.bfloat16):
            return _convolved(self, x, x.to(torch.bfloat16))
        return super().forward(x)


def _convolved(layer: nn.Conv2d, x: Tensor, converted: Tensor) -> Tensor:
    if kernels.is_available():  # CONVARIUM_KERNELS may have been set since
        try:
            return kernels.conv2d(
                converted, layer.weight, layer.bias, stride=layer.stride[0], padding=int(layer.padding[0])
            )
        except (TypeError, ValueError):
            pass  # PyTorch computes it, or says what is wrong with it
    return nn.Conv2d.forward(layer, x)


class FusedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm, in training also with the ReLU after it in one pass, by `kernels.batch_norm`."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) → (n, c, h, w)"""
        return self.followed_by(None, x)

    def followed_by(self, relu: nn.ReLU | None, x: Tensor) -> Tensor:
        """relu(norm(x)), or norm(x): (n, c, h, w) → (n, c, h, w)."""
        if self.training:
            try:
                return kernels.batch_norm(x, self, relu=relu is not None)
            except (TypeError, ValueError):
                pass  # PyTorch computes it, or says what is wrong with it
        y = super().forward(x)
        return y if relu is None else relu.forward(y)


class FusedSequential(nn.Sequential):
    """A Sequential that calls each batch norm together with the ReLU after it, nested Sequentials included.

    Its modules stay in their places for whoever takes them out one by one.
    """

    def __init__(self, modules: OrderedDict[str, nn.Module]):  # also how a slice of it is made
        super().__init__(modules)
        self.calls = _calls(self)

    def forward(self, x: Tensor) -> Tensor:
        """What `nn.Sequential` computes."""
        for module, relu in self.calls:
            x = module.followed_by(relu, x) if relu and isinstance(module, FusedBatchNorm2d) else module(x)
        return x


def _calls(sequence: nn.Sequential) -> list[tuple[nn.Module, nn.ReLU | None]]:
    """What a Sequential calls in turn: a batch norm with the ReLU after it, any other module alone."""
    calls: list[tuple[nn.Module, nn.ReLU | None]] = []
    for module in _flattened(sequence):
        if type(module) is nn.ReLU and not _is_customized(module) and calls:
            before, relu = calls[-1]
            if isinstance(before, FusedBatchNorm2d) and relu is None:
                calls[-1] = before, module
                continue
        calls.append((module, None))
    return calls


def _flattened(sequence: nn.Sequential) -> Iterator[nn.Module]:
    for child in sequence:
        plain = type(child) in (nn.Sequential, FusedSequential) and not _is_customized(child)
        if isinstance(child, nn.Sequential) and plain:
            yield from _flattened(child)
        else:
            yield child


class Flatten(nn.Flatten):
    """Flattens images; the gradient comes back in their memory layout.

    The ReLU before it is several times slower in its backward pass where gradient and images are laid out differently.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) → (n, c·h·w)"""
        if x.ndim == 4 and x.grad_fn is not None and x.is_contiguous(memory_format=torch.channels_last):
            x.register_hook(_channels_last)  # type: ignore[no-untyped-call]
        return super().forward(x)


def _channels_last(gradient: Tensor) -> Tensor:
    return gradient.contiguous(memory_format=torch.channels_last)


class Dropout(nn.Dropout):
    """Dropout with masks from a generator of its own."""

    generator: torch.Generator

    def forward(self, x: Tensor) -> Tensor:
        """X · mask / (1 − p), of any shape."""
        if not self.training:
            return x
        mask = torch.empty_like(x).bernoulli_(1 - self.p, generator=self.generator)
        return x * mask.div_(1 - self.p)


def _is_customized(module: nn.Module) -> bool:
    """True if a module has hooks, a parametrization, a forward of its own, slots for attributes, or is TorchScript's.

    PyTorch's global hooks are hooks of every module.
    """
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    hooks += tuple(getattr(module_hooks, f"_global_{name}_hooks") for name in _GLOBAL_HOOKS)
    own = "forward" in vars(module) or parametrize.is_parametrized(module)
    slots = any(vars(kind).get("__slots__") for kind in type(module).__mro__)  # not in vars(), so not copied
    return own or slots or any(hooks) or isinstance(module, torch.jit.ScriptModule)


def _has_hidden_modules(network: nn.Module) -> bool:
    """True if a module refers to another one that is not among its submodules, so that a copy would call the original.

    A customized module is shared, not copied, so it may refer to itself and to the modules that it contains.
    """
    for module in network.modules():
        attributes = {name: value for name, value in vars(module).items() if name != "_modules"}
        contained = set(map(id, module.modules())) if _is_customized(module) else set()
        if any(id(other) not in contained for other in _modules_in(attributes)):
            return True
    return False


def _modules_in(value: object) -> Iterator[nn.Module]:
    """Modules that a value refers to through containers, attributes, bound methods, closures and weak references."""
    values, seen = [value], {}
    while values:
        value = values.pop()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, nn.Module):
            yield value
        elif isinstance(value, FunctionType):  # its globals are not the network's
            values += [value.__closure__, value.__defaults__, value.__kwdefaults__, vars(value)]
        elif isinstance(value, ReferenceType):
            values.append(value())
        elif not isinstance(value, (type, ModuleType, Tensor)):
            values += gc.get_referents(value)
