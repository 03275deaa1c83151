"""Why a verdict may contradict the source of its claim."""

_SWINGS = "With sigmoid the test accuracy swings by points between epochs, as the report says too; it ends on one draw."
_SINGLE = "The source prints the last epoch of a single run"
_LUCK = f"{_SINGLE}, and this network's last epochs scatter."

REASONS: dict[str, str] = {
    "memory-on-par": "The source compares single runs by eye, without intervals.",
    "residual-cnn-best": "The source's number is the highest of 20 looks at the test split in a single run.",
    "deep-plain-fails": "The source says so of deep networks in general, and shows no run of one.",
    "lenet-d2l": f"{_LUCK} Two editions of 2021 printed 81.3 and 78.3 % with the same code.",
    "lenet-d2l-train": f"{_LUCK} Two editions of 2021 printed 82.6 and 81.6 % with the same code.",
    "alexnet-d2l": f"{_SINGLE}.",
    "vgg-d2l": f"{_SINGLE}.",
    "nin-d2l": f"{_SINGLE}. The network's last ReLU lets a class die for good. An edition of 2021 printed 84.2 %.",
    "nin-below-vgg": "The notes broke their training of NiN off, and could not train VGG.",
    "larger-is-slower": (
        "On d2l.ai's GPU AlexNet is the faster one, with 3,942 images a second against 2,464; this VGG has a quarter "
        "of its width and fewer FLOPs than AlexNet."
    ),
    "nin-slower-than-vgg": (
        "The notes trained neither to the end; d2l.ai prints 3,088 images a second for NiN, 2,464 for VGG."
    ),
    "resnet-faster-than-preact-resnet": (
        "The source calls ResNet the fastest of the four, but explains it for GoogLeNet and DenseNet alone."
    ),
    **{
        f"sigmoid-{part}": _SWINGS
        for part in ("train-loss", "train-accuracy", "test-loss", "test-accuracy", "digits", "train-digits")
    },
    "relu-then-tanh-then-sigmoid": "The source judges convergence by eye, from one curve each.",
    "rate-0.001-learns-fastest": "The source judges by eye, from one curve each.",
    "rate-0.001-is-steadiest": "The source judges by eye, from one curve each.",
    **dict.fromkeys(
        ("sigmoid-swings", "sigmoid-swings-more-than-tanh"), "The source judges by eye, from one curve each."
    ),
    "rate-1-digit-changes": "The source saw one run.",
    "shortcut-changes-little": "The report prints no number for its network without the shortcut.",
}
"""Why a verdict may contradict the source, in one sentence for each claim; it is shown if the claim is refuted, or not
seen under the assumed recipe."""
