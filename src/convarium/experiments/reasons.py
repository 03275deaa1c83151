"""Where a verdict contradicts a source: why that may be. One sentence a claim; `convarium reproduce` shows it then."""

_RUNNING = (
    "The report does not say whether its training values are running means over the last epoch, as ours are, or an "
    "evaluation after it; its optimiser and its number of epochs are not stated either."
)
_UNSTATED = "The report states neither its optimiser nor its number of epochs; those used here are candidates."
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
        f"{row}-{part}": _RUNNING if part.startswith("train") else _UNSTATED
        for row in ("relu", "sigmoid", "tanh", "rate-0.001", "rate-0.1")
        for part in ("train-loss", "train-accuracy", "test-loss", "test-accuracy")
    },
    **{
        f"{row}-digits": f"{_UNSTATED} Single digits scatter from run to run, and the source has one run."
        for row in ("relu", "sigmoid", "tanh", "rate-0.001", "rate-0.1")
    },
    "relu-then-tanh-then-sigmoid": f"{_UNSTATED} It judges convergence by eye, from one curve each.",
    "rate-1-fails": _UNSTATED,
    "rate-1-one-digit": _UNSTATED,
    "rate-1-digit-changes": f"{_UNSTATED} It saw one run.",
    "shortcut-changes-little": "The report prints no number for its network without the shortcut.",
}
