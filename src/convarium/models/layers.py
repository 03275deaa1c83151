"""What the architectures share: activations with their gains, conv–norm pairs, initialisation, and shapes."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from convarium.errors import ImageSizeError
from convarium.records import ImageSpec


@dataclass(frozen=True)
class Activation:
    """A factory of activation modules that knows the gain its layers want at initialisation.

    `gain` is √(1 / E[f(z)²]) for standard normal z, the factor that keeps the second moment of a layer's output where
    it was (He et al. 2015, arXiv 1502.01852, for ReLU); tanh keeps the customary 5/3.
    """

    name: str
    module: Callable[[], nn.Module]
    gain: float

    def __call__(self) -> nn.Module:
        return self.module()


def _relu() -> nn.Module:
    return nn.ReLU(inplace=True)


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


def initialise(network: nn.Module, init: Init, activation: Activation) -> None:
    """Draws the weights of every convolution and, for `xavier_uniform`, of every linear layer, in place.

    "kaiming_normal_*": normal with standard deviation gain / √fan; linear layers keep PyTorch's own law, as in the
    sources. "xavier_uniform": as d2l.ai has it, weights alone, without a gain. "torch": nothing is changed.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and init.startswith("kaiming"):
            fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(module.weight)
            fan = fan_out if init.endswith("fan_out") else fan_in
            nn.init.normal_(module.weight, std=activation.gain / math.sqrt(fan))
        elif isinstance(module, (nn.Conv2d, nn.Linear)) and init == "xavier_uniform":
            nn.init.xavier_uniform_(module.weight)


def conv_norm(c_in: int, c_out: int, kernel: int = 3, stride: int = 1, *, bias: bool = False) -> nn.Sequential:
    """norm(conv(x)), padded so that stride 1 keeps the size; no bias, since the norm's own shift makes it idle."""
    return nn.Sequential(nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=bias), nn.BatchNorm2d(c_out))


def output_shape(network: nn.Module, image: ImageSpec, *, name: str = "the network") -> tuple[int, ...]:
    """The shape that `network` makes of one image, batch dimension left out; nothing is computed.

    Raises:
        ImageSizeError: a layer runs out of pixels. It names the layer and the size that reached it.
    """
    entered: list[tuple[str, nn.Module, tuple[int, ...]]] = []

    def note(layer: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda module, inputs: entered.append((layer, module, tuple(inputs[0].shape[1:])))

    handles = [m.register_forward_pre_hook(note(n)) for n, m in network.named_modules() if not any(m.children())]
    training = network.training
    try:
        with torch.device("meta"), torch.no_grad():
            meta = torch.zeros(1, image.channels, image.height, image.width)
            result: Tensor = torch.func.functional_call(
                network.eval(), {k: v.to("meta") for k, v in network.state_dict().items()}, (meta,)
            )
    except RuntimeError as error:
        layer, module, shape = (
            entered[-1] if entered else ("input", network, (image.channels, image.height, image.width))
        )
        raise ImageSizeError(
            f"{name} cannot take {image.height}×{image.width} images: layer {layer} ({type(module).__name__}) "
            f"runs out of pixels at {'×'.join(map(str, shape[1:]))}"
        ) from error
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    return tuple(result.shape[1:])
