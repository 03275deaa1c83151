"""Drawn images in the form of data sets, for tests that need no real ones."""

import torch

from convarium.data.splits import ImageData, Splits

CPU = torch.device("cpu")


def drawn(n, channels=1, side=28, seed=0):
    """N images of noise, labeled 0 to 9 in turn."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (n, channels, side, side), generator=generator, dtype=torch.uint8)
    return ImageData(images, torch.arange(n) % 10, tuple("0123456789"))


def splits_of(train, test=None):
    """As a data set: nothing held out; the test images are those of training unless others are given."""
    nothing = train.take(torch.arange(0))
    return Splits("mnist", train, nothing, test or train, "0" * 64, (0.1307,), (0.3081,))
