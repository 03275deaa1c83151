"""A command on a machine that is not the first of several."""

from pathlib import Path
from typing import TYPE_CHECKING

from convarium.cli.terminal import note

if TYPE_CHECKING:
    from convarium.training.engines import LightningEngine


def has_served(engine: "LightningEngine | None", data_dir: Path | None, device: str | None) -> bool:
    """Serves the first machine where this is another one, and says so; returns whether it was.

    Raises:
        RunError: the first machine does not answer, has other data, or has not trained all.
        TimeLimitError: the time limit of the first machine is reached.
    """
    from convarium.training.engines import is_other_node

    if engine is None or not is_other_node(engine):
        return False
    note("serving the first machine …")
    from convarium.workspace.execution import serve_first_machine

    serve_first_machine(engine, data_dir, device)
    note("all is trained")
    return True
