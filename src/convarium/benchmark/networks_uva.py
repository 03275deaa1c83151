"""The UvA tutorial's networks for CIFAR-10 in the tutorial's own form, see `networks`."""

import torch
from torch import Tensor, nn


class InceptionBlock(nn.Module):
    """uva: four branches side by side; every convolution has a bias, though a norm follows."""

    def __init__(self, c_in: int, reduce: tuple[int, int], out: tuple[int, int, int, int]):
        super().__init__()

        def conv(c_from: int, c_to: int, kernel: int) -> list[nn.Module]:
            return [nn.Conv2d(c_from, c_to, kernel, padding=kernel // 2), nn.BatchNorm2d(c_to), nn.ReLU()]

        self.conv_1x1 = nn.Sequential(*conv(c_in, out[0], 1))
        self.conv_3x3 = nn.Sequential(*conv(c_in, reduce[0], 1), *conv(reduce[0], out[1], 3))
        self.conv_5x5 = nn.Sequential(*conv(c_in, reduce[1], 1), *conv(reduce[1], out[2], 5))
        self.max_pool = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), *conv(c_in, out[3], 1))

    def forward(self, x: Tensor) -> Tensor:
        """(n, c_in, h, w) → (n, sum of out, h, w)"""
        return torch.cat([self.conv_1x1(x), self.conv_3x3(x), self.conv_5x5(x), self.max_pool(x)], dim=1)


def googlenet() -> nn.Module:
    """uva, UvA tutorial 5."""
    blocks = nn.Sequential(
        InceptionBlock(64, (32, 16), (16, 32, 8, 8)),
        InceptionBlock(64, (32, 16), (24, 48, 12, 12)),
        nn.MaxPool2d(3, stride=2, padding=1),
        InceptionBlock(96, (32, 16), (24, 48, 12, 12)),
        InceptionBlock(96, (32, 16), (16, 48, 16, 16)),
        InceptionBlock(96, (32, 16), (16, 48, 16, 16)),
        InceptionBlock(96, (32, 16), (32, 48, 24, 24)),
        nn.MaxPool2d(3, stride=2, padding=1),
        InceptionBlock(128, (48, 16), (32, 64, 16, 16)),
        InceptionBlock(128, (48, 16), (32, 64, 16, 16)),
    )
    stem = nn.Sequential(nn.Conv2d(3, 64, kernel_size=3, padding=1), nn.BatchNorm2d(64), nn.ReLU())
    return _kaiming(nn.Sequential(stem, blocks, _head(128)), "fan_in")


class ResNetBlock(nn.Module):
    """uva: the 1×1 convolution of the shortcut has a bias and no norm."""

    def __init__(self, c_in: int, c_out: int, *, subsample: bool):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(c_in, c_out, kernel_size=3, padding=1, stride=2 if subsample else 1, bias=False),
            nn.BatchNorm2d(c_out), nn.ReLU(),
            nn.Conv2d(c_out, c_out, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(c_out),
        )  # fmt: skip
        self.downsample = nn.Conv2d(c_in, c_out, kernel_size=1, stride=2) if subsample else None
        self.act_fn = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(n, c_in, h, w) → (n, c_out, h, w), halved where it subsamples"""
        z: Tensor = self.net(x)
        if self.downsample is not None:
            x = self.downsample(x)
        out: Tensor = self.act_fn(z + x)
        return out


class PreActResNetBlock(nn.Module):
    """uva: the shortcut has a norm and an activation of its own."""

    def __init__(self, c_in: int, c_out: int, *, subsample: bool):
        super().__init__()
        self.net = nn.Sequential(
            nn.BatchNorm2d(c_in), nn.ReLU(),
            nn.Conv2d(c_in, c_out, kernel_size=3, padding=1, stride=2 if subsample else 1, bias=False),
            nn.BatchNorm2d(c_out), nn.ReLU(), nn.Conv2d(c_out, c_out, kernel_size=3, padding=1, bias=False),
        )  # fmt: skip
        shortcut = [nn.BatchNorm2d(c_in), nn.ReLU(), nn.Conv2d(c_in, c_out, kernel_size=1, stride=2, bias=False)]
        self.downsample = nn.Sequential(*shortcut) if subsample else None

    def forward(self, x: Tensor) -> Tensor:
        """(n, c_in, h, w) → (n, c_out, h, w), halved where it subsamples"""
        z: Tensor = self.net(x)
        if self.downsample is not None:
            x = self.downsample(x)
        return z + x


def resnet() -> nn.Module:
    """uva, UvA tutorial 5: 20 layers."""
    stem = nn.Sequential(nn.Conv2d(3, 16, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    return _kaiming(nn.Sequential(stem, _stages(ResNetBlock), _head(64)), "fan_out")


def preact_resnet() -> nn.Module:
    """uva, UvA tutorial 5: nothing after the last block, a defect that its published numbers contain."""
    stem = nn.Sequential(nn.Conv2d(3, 16, kernel_size=3, padding=1, bias=False))
    return _kaiming(nn.Sequential(stem, _stages(PreActResNetBlock), _head(64)), "fan_out")


class DenseLayer(nn.Module):
    """uva: the new maps stand before the old ones."""

    def __init__(self, c_in: int, bn_size: int, growth_rate: int):
        super().__init__()
        width = bn_size * growth_rate
        self.net = nn.Sequential(
            nn.BatchNorm2d(c_in), nn.ReLU(), nn.Conv2d(c_in, width, kernel_size=1, bias=False),
            nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, growth_rate, kernel_size=3, padding=1, bias=False),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) → (n, growth_rate + c, h, w)"""
        return torch.cat([self.net(x), x], dim=1)


def densenet() -> nn.Module:
    """uva, UvA tutorial 5: four blocks of six layers, growth 16."""
    c, growth, bn_size = 32, 16, 2
    stem = nn.Sequential(nn.Conv2d(3, c, kernel_size=3, padding=1))
    blocks: list[nn.Module] = []
    for block in range(4):
        blocks.append(nn.Sequential(*(DenseLayer(c + i * growth, bn_size, growth) for i in range(6))))
        c += 6 * growth
        if block < 3:
            narrow = nn.Conv2d(c, c // 2, kernel_size=1, bias=False)
            blocks.append(nn.Sequential(nn.BatchNorm2d(c), nn.ReLU(), narrow, nn.AvgPool2d(kernel_size=2, stride=2)))
            c //= 2
    head = nn.Sequential(nn.BatchNorm2d(c), nn.ReLU(), *_head(c))
    return _kaiming(nn.Sequential(stem, nn.Sequential(*blocks), head), "fan_in")


def _stages(block: type[ResNetBlock] | type[PreActResNetBlock]) -> nn.Sequential:
    blocks, c_in = [], 16
    for stage, c_out in enumerate((16, 32, 64)):
        for number in range(3):
            blocks.append(block(c_in, c_out, subsample=stage > 0 and number == 0))
            c_in = c_out
    return nn.Sequential(*blocks)


def _head(features: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(features, 10))


def _kaiming(network: nn.Module, mode: str) -> nn.Module:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")  # type: ignore[arg-type]
    return network
