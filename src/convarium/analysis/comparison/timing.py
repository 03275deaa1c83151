"""Which runs' times can be compared: those of one environment. Where there are several, what differs between them."""

from collections.abc import Iterable

from convarium.analysis.comparison.formatting import count, listed
from convarium.records import Environment

UNKNOWN = "unknown"

Conditions = tuple[tuple[str, str], ...]
"""Everything in an environment that decides speed: names and values. Equal ones make times comparable."""

_LONGEST = 40
"""Characters of a value that a sentence still shows."""


def conditions(environment: Environment) -> Conditions:
    """Returns what decides the speed of a run in this environment.

    What an older record does not have is unknown, which equals no known value: two runs of which one knows its kernels
    may have had different ones. The code is known by the digest of the files of a training step, and in older records
    by the commit.
    """
    code = environment.code or (environment.commit and f"commit {environment.commit[:7]}{_dirty(environment.commit)}")
    named = {
        "processor": environment.processor,
        "processor model": environment.processor_model,
        "instruction sets": environment.instruction_sets,
        "device": environment.device,
        "threads": environment.threads,
        "worker processes": environment.workers,
        "PyTorch": environment.torch,
        "kernels": environment.kernels if environment.device == "cpu" else "PyTorch's",
        "code of the training step": code,
        "runs in a stack": len(environment.stack) or 1,
        "engine": environment.engine,
    }
    return tuple((name, UNKNOWN if value is None else str(value)) for name, value in named.items())


def what_differs(environments: Iterable[Environment]) -> str:
    """Names in what environments differ as far as it decides speed: "kernels (torch and unknown)".

    Returns:
        An empty text if their times can be compared.
    """
    values: dict[str, dict[str, None]] = {}
    for each in dict.fromkeys(map(conditions, environments)):
        for name, value in each:
            values.setdefault(name, {})[value] = None
    return listed([f"{name} ({_shown(found)})" for name, found in values.items() if len(found) > 1])


def _shown(found: Iterable[str]) -> str:
    values = sorted(found, key=lambda value: (value == UNKNOWN, len(value), value))
    if len(values) > 3 or any(len(value) > _LONGEST for value in values):
        return f"{count(len(values), 'kind')}{', one of them unknown' if UNKNOWN in values else ''}"
    return listed(values)


def _dirty(commit: str) -> str:
    return "-dirty" * commit.endswith("-dirty")
