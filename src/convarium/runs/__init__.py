"""Runs on disk: `store` finds, reads and writes them, and `files` has their format.

`environment` records the machine that made a run, and `tensorboard` writes event files while it is trained.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convarium.runs.store import Store, StudyRecord
    from convarium.runs.stored_run import StoredRun

__all__ = ["Store", "StoredRun", "StudyRecord"]

_MODULES = {
    "stored_run": ("StoredRun",),
    "store": ("Store", "StudyRecord"),
}


def __getattr__(name: str) -> Any:
    """Imports a public name's module when the name is first used."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"convarium.runs.{module}"), name)
    raise AttributeError(f"module 'convarium.runs' has no attribute {name!r}")
