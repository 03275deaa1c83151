"""Every network of the zoo made small, and a few real digits for it to train on in a second."""

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from convarium.data import load_data
from convarium.data.splits import Splits
from convarium.errors import ImageSizeError
from convarium.models.build import check_image
from convarium.models.zoo import MODELS
from convarium.records import ImageSpec

NETWORKS = {name: name for name in MODELS} | {
    "memory_mlp": "memory_mlp(hidden=16)",
    "residual_mlp": "residual_mlp(hidden=16)",
    "alexnet": "alexnet(hidden=16, width_divisor=8)",
    "nin": "nin(width_divisor=8)",
    "vgg": "vgg(depth=11, width_divisor=8, dropout=0.5)",
    "densenet": "densenet(depth=10)",
    **{name: f"{name}(stem='7x7')" for name in ("resnet18", "resnet34", "resnet50")},
    "plain": "plain(depth=8)",
    "resnet": "resnet(depth=8, shortcut='A')",
    "preact_resnet": "preact_resnet(depth=8)",
    "residual_variant": "residual_variant(depth=8, shortcut='dropout')",
}
"""Every network of MODELS, made small where it has a depth or width to choose; dropout stays where there is any."""


def smallest_size(model: str) -> int:
    """The height and width of the smallest gray image that a network takes, as the error for a single pixel says."""
    try:
        check_image(model, ImageSpec(1, 1, 1, 10))
    except ImageSizeError as error:
        return int(re.search(r"--resize (\d+)$", str(error))[1])
    return 1


def few(n: int, *, resize: int | None = None) -> Splits:
    """`n` real digits to train on, in a division of their own."""
    splits = load_data("digits", validation=20, resize=resize)
    cut = {
        name: dataclasses.replace(data, images=data.images[:size], labels=data.labels[:size])
        for name, data, size in (
            ("train", splits.train, n),
            ("validation", splits.validation, 20),
            ("test", splits.test, 30),
        )
    }
    return dataclasses.replace(splits, **cut)


@contextmanager
def in_float64() -> Iterator[None]:
    """Float64 throughout: what remains of a difference is then no rounding."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
