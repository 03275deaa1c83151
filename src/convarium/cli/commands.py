"""The commands. tyro makes the flags from their signatures; each calls public functions and shows the result."""

import functools
from collections.abc import Callable

from convarium.cli import bench_command, experiment_commands, inspect_commands, run_commands, study_commands


def _deferred(command: Callable[..., None]) -> Callable[..., "functools.partial[None]"]:
    """Tyro calls what it has parsed at once; this makes it return the call instead."""

    @functools.wraps(command)
    def later(*args: object, **options: object) -> "functools.partial[None]":
        return functools.partial(command, *args, **options)

    return later


_COMMANDS: dict[str, Callable[..., None]] = {
    "list": inspect_commands.list_,
    "describe": inspect_commands.describe,
    "train": run_commands.train,
    "compare": study_commands.compare,
    "run": experiment_commands.run,
    "reproduce": experiment_commands.reproduce,
    "results": study_commands.results,
    "report": study_commands.report,
    "evaluate": run_commands.evaluate,
    "data": inspect_commands.data,
    "bench": bench_command.bench,
}

COMMANDS = {name: _deferred(command) for name, command in _COMMANDS.items()}
"""Name → command, in the order in which help shows them."""
