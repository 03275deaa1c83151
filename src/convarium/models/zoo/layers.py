"""What the architectures share: activations with their gains, pairs of convolution and norm, initialization, shapes."""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convarium.errors import ImageSizeError, SpecError
from convarium.models.modes import evaluating
from convarium.records import ImageSpec


@dataclass(frozen=True)
class Activation:
    """A factory of activation modules that knows the gain its layers want at initialization.

    `gain` is √(1 / E[f(z)²]) for standard normal z: the factor that preserves the second moment of a layer's output
    (He et al. 2015, arXiv 1502.01852, for ReLU). Tanh and sigmoid have the values of `nn.init.calculate_gain` instead:
    5/3 for tanh (the formula gives 1.593), and 1 for sigmoid (the formula gives 1.846, but most of its E[f(z)²] is the
    mean of 1/2, an offset that is equal for all images and needs no gain).

    A training step on a CPU computes `RELU`'s modules in place, which saves a tenth of its time. Their input must
    therefore be a tensor that nothing else reads, such as the output of a convolution, a norm or a sum; for a block's
    own input there is `nn.ReLU`. Elsewhere nothing is overwritten, so that hooks can keep what they see.
    """

    name: str
    module: Callable[[], nn.Module]
    gain: float

    def __call__(self) -> nn.Module:
        return self.module()


OVERWRITES = "may_overwrite"
"""The attribute of a module whose input nothing else reads, so that a training step may overwrite it."""


def _relu() -> nn.Module:
    relu = nn.ReLU()
    vars(relu)[OVERWRITES] = True
    return relu


RELU = Activation("relu", _relu, math.sqrt(2))
LEAKY_RELU = Activation("leaky_relu", nn.LeakyReLU, math.sqrt(2 / (1 + 0.01**2)))
PRELU = Activation("prelu", nn.PReLU, math.sqrt(2 / (1 + 0.25**2)))
ELU = Activation("elu", nn.ELU, 1.2452)
GELU = Activation("gelu", nn.GELU, 1.5335)
SILU = Activation("silu", nn.SiLU, 1.6765)
TANH = Activation("tanh", nn.Tanh, 5 / 3)
SIGMOID = Activation("sigmoid", nn.Sigmoid, 1.0)
IDENTITY = Activation("identity", nn.Identity, 1.0)

ACTIVATIONS = {a.name: a for a in (RELU, LEAKY_RELU, PRELU, ELU, GELU, SILU, TANH, SIGMOID, IDENTITY)}

Init = Literal["kaiming_normal_fan_in", "kaiming_normal_fan_out", "xavier_uniform", "torch"]


ClassifierBias = Literal["uniform", "zero"]


def initialize(
    network: nn.Module, init: Init, activation: Activation, *, classifier_bias: ClassifierBias = "uniform"
) -> None:
    """Initializes the weights of the convolutions and linear layers in place; biases keep PyTorch's default.

    "kaiming_normal_*": normal with standard deviation gain / √fan; the last linear layer, which no activation follows,
    keeps PyTorch's default. "xavier_uniform": as in d2l.ai, without a gain. "torch": nothing is changed.

    Args:
        network: in place.
        init: as above.
        activation: has the gain.
        classifier_bias: how the bias of the last linear layer starts: "uniform", PyTorch's default, or "zero".
    """
    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    last = next((m for m in reversed(layers) if isinstance(m, nn.Linear)), None)
    for layer in layers:
        if init == "xavier_uniform":
            nn.init.xavier_uniform_(layer.weight)
        elif init != "torch" and layer is not last:
            fan = (layer.weight[0] if init == "kaiming_normal_fan_in" else layer.weight[:, 0]).numel()
            nn.init.normal_(layer.weight, std=activation.gain / math.sqrt(fan))
    if classifier_bias == "zero" and last is not None and last.bias is not None:
        nn.init.zeros_(last.bias)


def conv_norm(c_in: int, c_out: int, kernel: int = 3, stride: int = 1, *, bias: bool = False) -> nn.Sequential:
    """norm(conv(x)), padded so that stride 1 preserves the size; no bias, since the norm would cancel it."""
    return nn.Sequential(nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=bias), nn.BatchNorm2d(c_out))


def conv_act(
    c_in: int,
    c_out: int,
    kernel: int,
    act: Activation,
    *,
    norm: bool,
    bias: bool = False,
    stride: int = 1,
    padding: int | None = None,
) -> list[nn.Module]:
    """act(norm(conv(x))), or act(conv(x)) with a bias; padding None preserves the size at stride 1."""
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2 if padding is None else padding, bias=bias or not norm)
    return [conv, nn.BatchNorm2d(c_out), act()] if norm else [conv, act()]


def narrowed(name: str, widths: Sequence[int], divisor: int) -> list[int]:
    """The widths, each divided by `divisor`, rounded down.

    Raises:
        SpecError: the narrowest layer would have no channel.
    """
    if not 1 <= divisor <= min(widths):
        raise SpecError(f"option 'width_divisor' of {name}", expected=f"1 to {min(widths)}", received=divisor)
    return [width // divisor for width in widths]


def hidden_head(c_in: int, classes: int, *, hidden: int, act: Activation, dropout: float) -> list[nn.Module]:
    """The head of AlexNet and VGG: linear, act, dropout, twice; then linear: (n, c_in) → (n, classes)."""
    first = [nn.Linear(c_in, hidden), act(), nn.Dropout(dropout)]
    return [*first, nn.Linear(hidden, hidden), act(), nn.Dropout(dropout), nn.Linear(hidden, classes)]


def classifier(c_in: int, classes: int) -> list[nn.Module]:
    """Global average pooling, then one linear layer: (n, c_in, h, w) → (n, classes)."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c_in, classes)]


def assemble(stem: Iterable[nn.Module], blocks: Iterable[nn.Module], head: Iterable[nn.Module]) -> nn.Sequential:
    """A network with the parts `stem`, `blocks` and `head`, whose modules are numbered."""
    parts = {"stem": stem, "blocks": blocks, "head": head}
    return nn.Sequential(OrderedDict((name, nn.Sequential(*modules)) for name, modules in parts.items()))


def stages(widths: Sequence[int], counts: Sequence[int], c_in: int) -> list[tuple[int, int, int]]:
    """(c_in, c_out, stride) of every block, stage by stage; each stage but the first starts by halving the image."""
    blocks = []
    for stage, (c_out, n) in enumerate(zip(widths, counts, strict=True)):
        for i in range(n):
            blocks.append((c_in, c_out, 2 if stage > 0 and i == 0 else 1))
            c_in = c_out
    return blocks


class AvgPool2d(nn.AvgPool2d):
    """PyTorch's average pooling; 2×2 pooling trains faster on a CPU if there are few channels.

    PyTorch's kernel works on vectors of channels, of which LeNet's 6 fill a third or less, and its backward pass takes
    four times as long as this one in bfloat16. Here whole lines of an image are added, and the gradient is copied.
    """

    @property
    def by_two(self) -> bool:
        """True if the pooling is 2×2 with stride 2, without padding."""
        return (self.kernel_size, self.stride, self.padding, self.divisor_override) == (2, 2, 0, None)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) → (n, c, h / 2, w / 2), rounded down, if the kernel is 2."""
        n, c, h, w = x.shape
        if not self.by_two or h % 2 or w % 2 or not self.training or x.is_cuda:
            return super().forward(x)
        top, bottom = x.permute(0, 2, 3, 1).reshape(n * h // 2, 2, w * c).unbind(1)
        lines = top + bottom if x.dtype == torch.float64 else (top + bottom).float()
        left, right = lines.view(n * h // 2, w // 2, 2, c).unbind(2)
        means = ((left + right) * 0.25).to(x.dtype)
        return means.view(n, h // 2, w // 2, c).permute(0, 3, 1, 2)


class PaddedIdentity(nn.Module):
    """Shortcut option A of He et al. 2015: every stride-th pixel, then channels of zeros; no parameters."""

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        self.stride, self.extra = stride, c_out - c_in

    def forward(self, x: Tensor) -> Tensor:
        """(n, c_in, h, w) → (n, c_out, h / stride, w / stride), rounded up."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))


def repeats(name: str, depth: int, *, step: int, offset: int) -> int:
    """The number n ≥ 1 of repeated blocks in a network of depth step·n + offset.

    Raises:
        SpecError: no n gives that depth; the message names the nearest that work.
    """
    n, rest = divmod(depth - offset, step)
    if rest or n < 1:
        near = sorted({step * max(k, 1) + offset for k in (n, n + 1)})
        raise SpecError(
            f"depth {depth} of {name}", expected=f"{step}n + {offset}", hint=f"use {' or '.join(map(str, near))}"
        )
    return n


def output_shape(
    network: nn.Module, image: ImageSpec, *, name: str = "the network", device: str = "meta"
) -> tuple[int, ...]:
    """The shape of the network's output for one image, without the batch dimension; "meta" computes no values.

    Raises:
        ImageSizeError: a layer cannot take its input. The message names the layer and the shape of the input.
        SpecError: the network returns something other than a tensor.
    """
    where, why = "before the first layer", ""

    def enter(layer: str, module: nn.Module, inputs: tuple[object, ...]) -> None:
        nonlocal where, why
        shape = next((tuple(x.shape[1:]) for x in inputs if isinstance(x, Tensor)), ())
        where = f"layer {layer} ({type(module).__name__}) is given {'×'.join(map(str, shape))}"
        why = _misfit(module, shape)
        if 0 in shape:
            raise RuntimeError("an empty tensor")

    def leave(layer: str, module: nn.Module) -> None:
        nonlocal where, why
        where, why = f"after layer {layer} ({type(module).__name__})", ""

    leaves = [(layer or "0", module) for layer, module in network.named_modules() if not any(module.children())]
    hooks = [m.register_forward_pre_hook(lambda m, x, layer=layer: enter(layer, m, x)) for layer, m in leaves]
    hooks += [m.register_forward_hook(lambda m, *_, layer=layer: leave(layer, m)) for layer, m in leaves]
    tensors = {k: v.to(device) for k, v in (*network.named_parameters(), *network.named_buffers())}
    try:
        with evaluating(network), torch.device(device), torch.no_grad():
            batch = torch.zeros(1, image.channels, image.height, image.width)
            result = torch.func.functional_call(network, tensors, (batch,))
    except RuntimeError as error:
        raise ImageSizeError(
            f"{name} cannot take {image.channels}×{image.height}×{image.width} images: {where}"
            + (why or f": {str(error).splitlines()[0]}")
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(result, Tensor):
        raise SpecError(f"{name} returns {type(result).__name__}", expected="one tensor of logits (n, classes)")
    return tuple(result.shape[1:])


def _misfit(module: nn.Module, shape: tuple[int, ...]) -> str:
    """Why the module refuses this shape; empty if only PyTorch's own message can say it."""
    if isinstance(module, nn.Linear):
        return f", made for {module.in_features}"
    if not hasattr(module, "kernel_size") or len(shape) != 3 or 0 in shape:
        return ""
    made_for = getattr(module, "in_channels", shape[0])
    return ", less than its kernel spans" if made_for == shape[0] else f", made for {made_for} channels"
