"""The sources' networks in the sources' own form: what a reader of the tutorials would have typed.

This file has those for MNIST and Fashion-MNIST; `networks_uva` has those for CIFAR-10. Both import nothing else.
Modules are defined and registered in the order of the sources, with all their biases, so that every preset is checked
against an independent version: equal parameter counts, equal logits for equal weights.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MemoryBlock(nn.Module):
    """memory-blog: x·(W + M), sigmoid, linear, doubled."""

    def __init__(self, hidden_dim: int):
        super().__init__()
        self.fc = nn.Parameter(torch.empty(hidden_dim, hidden_dim))
        nn.init.xavier_uniform_(self.fc)
        self.mem = nn.Parameter(torch.empty(hidden_dim, hidden_dim))
        nn.init.xavier_uniform_(self.mem)
        self.out = nn.Linear(hidden_dim, 10)
        self.sig = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, 28, 28) → (n, 10), by way of (n, 1, 784) as the source's loop has it"""
        x = x.reshape([x.shape[0], 1, -1])
        x = x @ (self.fc + self.mem)
        x = self.out(self.sig(x))
        return (x + x).reshape([x.shape[0], -1])


class ResidualMLP(nn.Module):
    """memory-blog: the residual network that the memory block is compared with."""

    def __init__(self, hidden_dim: int):
        super().__init__()
        self.fc = nn.Linear(hidden_dim, hidden_dim)
        self.fc1 = nn.Linear(hidden_dim, hidden_dim)
        self.out = nn.Linear(hidden_dim, 10)
        self.sig = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, 28, 28) → (n, 10), by way of (n, 1, 784) as the source's loop has it"""
        x = x.reshape([x.shape[0], 1, -1])
        x = self.fc(x)
        x = self.fc1(x) + x
        x = self.out(self.sig(x))
        return x.reshape([x.shape[0], -1])


class ResidualCNNBlock(nn.Module):
    """residual-blog: two padded 3×3 convolutions with biases, no norm."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) → the same shape"""
        return F.relu(x + self.conv2(F.relu(self.conv1(x))))


class ResidualCNN(nn.Module):
    """residual-blog."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, kernel_size=5)
        self.conv2 = nn.Conv2d(16, 32, kernel_size=5)
        self.mp = nn.MaxPool2d(2)
        self.rblock1 = ResidualCNNBlock(16)
        self.rblock2 = ResidualCNNBlock(32)
        self.fc = nn.Linear(512, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, 28, 28) → (n, 10)"""
        x = self.rblock1(self.mp(F.relu(self.conv1(x))))
        x = self.rblock2(self.mp(F.relu(self.conv2(x))))
        out: Tensor = self.fc(x.view(x.size(0), -1))
        return out


class ReportBlock(nn.Module):
    """mnist-report, whose listing ends before the block's body: the customary one, norm in the shortcut too."""

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.shortcut = nn.Sequential(
            nn.Conv2d(c_in, c_out, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(c_out)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, c_in, h, w) → (n, c_out, h / stride, w / stride)"""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


class ReportResNet(nn.Module):
    """mnist-report."""

    def __init__(self) -> None:
        super().__init__()
        self.block1 = ReportBlock(1, 16, 1)
        self.block2 = ReportBlock(16, 32, 2)
        self.block3 = ReportBlock(32, 64, 2)
        self.fc = nn.Linear(64 * 7 * 7, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, 28, 28) → (n, 10)"""
        x = self.block3(self.block2(self.block1(x)))
        out: Tensor = self.fc(x.view(x.size(0), -1))
        return out


def lenet() -> nn.Module:
    """d2l, after d2l.ai."""
    return _xavier(nn.Sequential(
        nn.Conv2d(1, 6, kernel_size=5, padding=2), nn.Sigmoid(), nn.AvgPool2d(kernel_size=2, stride=2),
        nn.Conv2d(6, 16, kernel_size=5), nn.Sigmoid(), nn.AvgPool2d(kernel_size=2, stride=2), nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10),
    ))  # fmt: skip


def alexnet() -> nn.Module:
    """d2l, after d2l.ai."""
    return _xavier(nn.Sequential(
        nn.Conv2d(1, 96, kernel_size=11, stride=4, padding=1), nn.ReLU(), nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(96, 256, kernel_size=5, padding=2), nn.ReLU(), nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(256, 384, kernel_size=3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 384, kernel_size=3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(kernel_size=3, stride=2), nn.Flatten(),
        nn.Linear(6400, 4096), nn.ReLU(), nn.Dropout(p=0.5), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(p=0.5),
        nn.Linear(4096, 10),
    ))  # fmt: skip


def vgg11_small() -> nn.Module:
    """d2l, after d2l.ai: VGG-11 with all widths divided by 4."""
    blocks, c_in = [], 1
    for convs, c_out in ((1, 16), (1, 32), (2, 64), (2, 128), (2, 128)):
        layers: list[nn.Module] = []
        for _ in range(convs):
            layers += [nn.Conv2d(c_in, c_out, kernel_size=3, padding=1), nn.ReLU()]
            c_in = c_out
        blocks.append(nn.Sequential(*layers, nn.MaxPool2d(kernel_size=2, stride=2)))
    return _xavier(nn.Sequential(
        *blocks, nn.Flatten(),
        nn.Linear(c_in * 7 * 7, 4096), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4096, 10),
    ))  # fmt: skip


def nin() -> nn.Module:
    """d2l, after d2l.ai: a ReLU also on the class maps."""

    def block(c_in: int, c_out: int, kernel: int, stride: int, padding: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(c_in, c_out, kernel, stride, padding), nn.ReLU(),
            nn.Conv2d(c_out, c_out, kernel_size=1), nn.ReLU(), nn.Conv2d(c_out, c_out, kernel_size=1), nn.ReLU(),
        )  # fmt: skip

    return _xavier(nn.Sequential(
        block(1, 96, 11, 4, 0), nn.MaxPool2d(3, stride=2), block(96, 256, 5, 1, 2), nn.MaxPool2d(3, stride=2),
        block(256, 384, 3, 1, 1), nn.MaxPool2d(3, stride=2), nn.Dropout(0.5), block(384, 10, 3, 1, 1),
        nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(),
    ))  # fmt: skip


def _xavier(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.xavier_uniform_(module.weight)
    return network
