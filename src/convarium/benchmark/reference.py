"""The reference: training as the sources do it, without anything of Convarium.

Every image is a Pillow image that goes through torchvision's transforms one by one, a DataLoader makes the batches, the
loss is read after every step, and everything is float32. The transforms are written out in torchvision's own steps,
because torchvision is not needed for anything else. What a source does beside training (running means over growing
lists, progress bars, Lightning's hooks) is left out, so that the reference is too fast rather than too slow.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from convarium.benchmark import networks, networks_uva

Transform = Callable[[Any], Any]
"""Maps a Pillow image to another one or to a tensor, or a tensor to a tensor."""


@dataclass(frozen=True)
class Job:
    """One source's training of one network.

    Attributes:
        model: the preset in Convarium, "lenet@d2l".
        tag: the tag of the recipe preset, "d2l".
        dataset: the name of the data set in Convarium.
        network: makes the network, with the source's initial weights.
        mean, std: by channel; None: images from 0 to 1.
        resize: the height and width in pixels; None: images keep their size.
        augment: whether images are flipped and cropped as in the UvA tutorial.
        workers: the number of processes that load images, as in the source.
    """

    model: str
    tag: str
    dataset: str
    network: Callable[[], nn.Module]
    batch_size: int
    optimizer: str
    learning_rate: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    drop_last: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resize: int | None = None
    augment: bool = False
    workers: int = 0


def _mnist(model: str, tag: str, network: Callable[[], nn.Module], optimizer: str, rate: float, m: float = 0.0) -> Job:
    return Job(model, tag, "mnist", network, 64, optimizer, rate, m, mean=(0.1307,), std=(0.3081,))


def _d2l(model: str, network: Callable[[], nn.Module], batch_size: int, rate: float, resize: int | None) -> Job:
    return Job(model, "d2l", "fashion_mnist", network, batch_size, "sgd", rate, resize=resize, workers=4)


def _uva(model: str, network: Callable[[], nn.Module], optimizer: str, rate: float, momentum: float = 0.0) -> Job:
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    return Job(
        model, "uva", "cifar10", network, 128, optimizer, rate, momentum, 1e-4, drop_last=True, mean=mean, std=std,
        augment=True, workers=4,
    )  # fmt: skip


JOBS: dict[str, Job] = {
    "memory_mlp": _mnist("memory_mlp@memory-blog", "memory-blog", partial(networks.MemoryBlock, 784), "adam", 3e-4),
    "residual_mlp": _mnist("residual_mlp@memory-blog", "memory-blog", partial(networks.ResidualMLP, 784), "adam", 3e-4),
    "residual_cnn": _mnist("residual_cnn@residual-blog", "residual-blog", networks.ResidualCNN, "sgd", 0.01, 0.5),
    "mnist_resnet": _mnist("mnist_resnet@mnist-report", "mnist-report", networks.ReportResNet, "adam", 0.001),
    "lenet@d2l": _d2l("lenet@d2l", networks.lenet, 256, 0.9, None),
    "alexnet@d2l": _d2l("alexnet@d2l", networks.alexnet, 128, 0.01, 224),
    "vgg11@d2l-small": _d2l("vgg11@d2l-small", networks.vgg11_small, 128, 0.05, 224),
    "nin@d2l": _d2l("nin@d2l", networks.nin, 128, 0.1, 224),
    "googlenet@uva": _uva("googlenet@uva", networks_uva.googlenet, "adamw", 1e-3),
    "resnet@uva": _uva("resnet@uva", networks_uva.resnet, "sgd", 0.1, 0.9),
    "preact_resnet@uva": _uva("preact_resnet@uva", networks_uva.preact_resnet, "sgd", 0.1, 0.9),
    "densenet@uva": _uva("densenet@uva", networks_uva.densenet, "adamw", 1e-3),
}


class Images:
    """A map-style data set of Pillow images made from an array, like torchvision's MNIST and CIFAR10."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, transforms: list[Transform]):
        self.images, self.labels, self.transforms = images, labels, transforms

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image: Any = Image.fromarray(self.images[index])
        for transform in self.transforms:
            image = transform(image)
        return image, int(self.labels[index])


def transforms_of(job: Job, *, training: bool = True) -> list[Transform]:
    """Returns the source's transforms in its order, without augmentation for evaluation."""
    transforms: list[Transform] = []
    if job.resize:
        transforms.append(partial(resize, size=job.resize))
    if job.augment and training:
        transforms += [random_flip, partial(random_resized_crop, size=32, scale=(0.8, 1.0), ratio=(0.9, 1.1))]
    transforms.append(to_tensor)
    if job.mean and job.std:
        transforms.append(partial(normalize, mean=job.mean, std=job.std))
    return transforms


def resize(image: Image.Image, size: int) -> Image.Image:
    """Resize((size, size)): bilinear with Pillow's antialiasing."""
    return image.resize((size, size), Image.Resampling.BILINEAR)


def random_flip(image: Image.Image) -> Image.Image:
    """RandomHorizontalFlip()"""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if torch.rand(1) < 0.5 else image


def random_resized_crop(
    image: Image.Image, size: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> Image.Image:
    """RandomResizedCrop((size, size), scale, ratio)"""
    top, left, height, width = crop_box(*image.size, scale, ratio)
    box = image.crop((left, top, left + width, top + height))
    return box.resize((size, size), Image.Resampling.BILINEAR)


def crop_box(
    width: int, height: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[int, int, int, int]:
    """Draws a box as RandomResizedCrop.get_params does: top, left, height and width in pixels."""
    log_ratio = torch.log(torch.tensor(ratio))
    for _ in range(10):
        area = height * width * torch.empty(1).uniform_(scale[0], scale[1]).item()
        aspect = torch.exp(torch.empty(1).uniform_(log_ratio[0].item(), log_ratio[1].item())).item()
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            top = int(torch.randint(0, height - h + 1, size=(1,)).item())
            return top, int(torch.randint(0, width - w + 1, size=(1,)).item()), h, w
    side = min(width, height)  # a square fits the UvA tutorial's ratios, which enclose 1
    return (height - side) // 2, (width - side) // 2, side, side


def to_tensor(image: Image.Image) -> Tensor:
    """ToTensor(): (channels, height, width) float32 from 0 to 1."""
    pixels = torch.from_numpy(np.array(image, np.uint8, copy=True))
    pixels = pixels.view(image.size[1], image.size[0], len(image.getbands()))
    return pixels.permute((2, 0, 1)).contiguous().to(torch.float32).div(255)


def normalize(image: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Normalize(mean, std)"""
    m = torch.as_tensor(mean, dtype=image.dtype).view(-1, 1, 1)
    s = torch.as_tensor(std, dtype=image.dtype).view(-1, 1, 1)
    return image.clone().sub_(m).div_(s)


def loader(job: Job, images: np.ndarray, labels: np.ndarray, *, device: str, training: bool = True) -> DataLoader[Any]:
    """Makes the source's DataLoader over (n, h, w[, 3]) uint8 images."""
    with _more_workers_than_cores():
        return DataLoader(
            Images(images, labels, transforms_of(job, training=training)),  # type: ignore[arg-type]
            batch_size=job.batch_size,
            shuffle=training,
            drop_last=job.drop_last and training,
            num_workers=job.workers,
            pin_memory=job.tag == "uva" and device.startswith("cuda"),
        )


@contextmanager
def _more_workers_than_cores() -> Iterator[None]:
    # The sources use four workers, and so does this loop, on two cores too.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create", category=UserWarning)
        yield


def optimizer_of(job: Job, network: nn.Module) -> torch.optim.Optimizer:
    """Makes the source's optimizer with PyTorch's default implementation."""
    if job.optimizer == "sgd":
        return torch.optim.SGD(network.parameters(), job.learning_rate, job.momentum, weight_decay=job.weight_decay)
    kind = torch.optim.Adam if job.optimizer == "adam" else torch.optim.AdamW
    return kind(network.parameters(), job.learning_rate, weight_decay=job.weight_decay)


def train(
    network: nn.Module, optimizer: torch.optim.Optimizer, batches: DataLoader[Any], *, device: str
) -> Iterator[tuple[int, float]]:
    """Trains one epoch; yields the number of images and the loss of every step."""
    network.train()
    with _more_workers_than_cores():
        loaded = iter(batches)
    for images, labels in loaded:
        inputs, targets = images.to(device), labels.to(device)
        optimizer.zero_grad()
        outputs = network(inputs)
        loss = F.cross_entropy(outputs, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        (outputs.argmax(dim=-1) == targets).float().mean().item()
        yield len(targets), loss.item()


def accuracy(network: nn.Module, batches: DataLoader[Any], *, device: str) -> float:
    """Returns the share of images that are classified correctly."""
    network.eval()
    correct = total = 0
    with torch.no_grad(), _more_workers_than_cores():
        for images, labels in batches:
            predicted = network(images.to(device)).argmax(dim=1).cpu()
            correct += int((predicted == labels).sum().item())
            total += len(labels)
    return correct / total
