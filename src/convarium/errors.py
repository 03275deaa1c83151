"""Errors: each says in one sentence what is wrong and what to do about it."""

_LONGEST_QUOTATION = 200
_LONGEST_WORD = 600


def quoted(value: object) -> str:
    """A value as a message shows it: as Python writes it, and cut in the middle where that is long."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return "a number of thousands of digits"
    half = _LONGEST_QUOTATION // 2
    return text if len(text) <= _LONGEST_QUOTATION else f"{text[:half]} … {text[-half:]}"


def _shortened(word: str) -> str:
    """A word of a message; a path or a name of thousands of characters is cut in the middle."""
    half = _LONGEST_WORD // 2
    return word if len(word) <= _LONGEST_WORD else f"{word[:half]}…{word[-half:]}"


class ConvariumError(Exception):
    """A mistake that the caller can correct.

    Args:
        wrong: what is wrong, with the argument's name: "unknown model 'lenett'".
        expected: the values that are valid.
        received: the value that was given, unless `wrong` already says it.
        hint: what to try, as an imperative: "did you mean 'lenet'?", "use --batch-size 64 or less".
    """

    exit_code = 2

    def __init__(self, wrong: str, *, expected: str | None = None, received: object = None, hint: str | None = None):
        self.wrong, self.expected, self.received, self.hint = wrong, expected, received, hint
        details = [f"expected {expected}"] if expected is not None else []
        details += [f"received {quoted(received)}"] if received is not None else []
        sentence = wrong + (": " + ", ".join(details) if details else "")
        super().__init__(" ".join(map(_shortened, (f"{sentence}; {hint}" if hint else sentence).split())))


class SpecError(ConvariumError):
    """A model, preset, option, activation, schedule or augmentation that does not exist or is not valid here."""


class RecipeError(ConvariumError):
    """A recipe whose settings are out of range or contradict each other."""


class ImageSizeError(ConvariumError):
    """An image that a network cannot take."""


class DataError(ConvariumError):
    """A data set that is missing or damaged, or whose files are not the published ones."""


class FileContentError(ConvariumError):
    """A file that can be opened, but whose content is damaged, too large or of another format."""


class StoreError(ConvariumError):
    """A run or study that is missing, damaged or of another base recipe."""


class DamageError(StoreError):
    """A run whose files are missing, changed or cut; it is set aside and trained again. One that may not be read is not
    damaged.
    """


class LockedError(StoreError):
    """A run or study that another process is working on."""


class RunError(ConvariumError):
    """A run that started and failed; the call was valid, and another call would not prevent it."""

    exit_code = 1


class TimeLimitError(ConvariumError):
    """The time that was given for training is over; what is done is kept, and the same call goes on from there."""

    exit_code = 75  # EX_TEMPFAIL, by which schedulers know that a job is to be started again


class WeightsError(ConvariumError):
    """A weights file that is unsafe, damaged or does not fit the network."""
