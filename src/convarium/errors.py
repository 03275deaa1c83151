"""What goes wrong, told in one sentence with a way out."""


class ConvariumError(Exception):
    """A mistake that the caller can mend.

    Args:
        wrong: what is wrong, naming the argument: "unknown model 'lenett'".
        expected: what would have been right.
        received: what came instead; leave it out where `wrong` already says it.
        hint: what to try, as an imperative: "did you mean 'lenet'?", "use --batch-size 64 or less".
    """

    exit_code = 2

    def __init__(self, wrong: str, *, expected: str | None = None, received: object = None, hint: str | None = None):
        self.wrong, self.expected, self.received, self.hint = wrong, expected, received, hint
        found = [f"expected {expected}"] if expected is not None else []
        found += [f"received {received!r}"] if received is not None else []
        sentence = wrong + (": " + ", ".join(found) if found else "")
        super().__init__(" ".join((f"{sentence}; {hint}" if hint else sentence).split()))


class SpecError(ConvariumError):
    """A model, preset, option, activation, schedule or augmentation that does not exist or does not fit."""


class RecipeError(ConvariumError):
    """A recipe whose settings are out of range or contradict each other."""


class ImageSizeError(ConvariumError):
    """An image that a network cannot take."""


class DataError(ConvariumError):
    """A data set that is missing, damaged or not what it claims to be."""


class StoreError(ConvariumError):
    """A run or study that is missing, damaged or of another base recipe."""


class RunError(ConvariumError):
    """A run that was begun and failed: no wrong call, and not mended by another one."""

    exit_code = 1


class WeightsError(ConvariumError):
    """A weights file that is unsafe, damaged or does not fit the network."""
