"""Where a verdict contradicts a source: why that may be. One sentence a claim; `convarium reproduce` shows it then."""

_UNSTATED = "The report states neither its optimizer nor its number of epochs; those used here are candidates."
_TWICE = "The report ran this recipe twice, as ReLU and as a rate of 0.001, and its two runs lie as far apart."
_SWINGS = "With sigmoid the test accuracy swings by points between epochs, as the report says too; it ends on one draw."
_LUCK = "The source prints the last epoch of a single run, and this network's last epochs scatter."

REASONS: dict[str, str] = {
    "memory-on-par": "The source compares single runs by eye, without intervals.",
    "residual-cnn-best": "The source's number is the highest of 20 looks at the test split in a single run.",
    "deep-plain-fails": "The source names no depth and no norm; PyTorch's initial weights have changed since.",
    "lenet-d2l": _LUCK,
    "lenet-d2l-train": _LUCK,
    "alexnet-d2l": _LUCK,
    "vgg-d2l": _LUCK,
    "nin-d2l": f"{_LUCK} Its last ReLU lets a class die for good.",
    "nin-below-vgg": "The source broke its training of NiN off.",
    **{
        f"{row}-{part}": reason
        for row, reason in {
            "relu": _TWICE,
            "sigmoid": _SWINGS,
            "tanh": _UNSTATED,
            "rate-0.001": _UNSTATED,
            "rate-0.1": _UNSTATED,
        }.items()
        for part in ("train-loss", "train-accuracy", "test-loss", "test-accuracy", "digits")
    },
    "relu-then-tanh-then-sigmoid": f"{_UNSTATED} It judges convergence by eye, from one curve each.",
    "rate-1-fails": _UNSTATED,
    "rate-1-one-digit": _UNSTATED,
    "rate-1-digit-changes": f"{_UNSTATED} It saw one run.",
    "shortcut-changes-little": "The report prints no number for its network without the shortcut.",
}
