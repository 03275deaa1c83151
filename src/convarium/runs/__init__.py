"""Runs on disk: `store` finds, reads and writes them, and `files` has their format.

`environment` records the machine that made a run, and `tensorboard` writes event files while it is trained.
"""

from typing import TYPE_CHECKING

from convarium.lazy_names import lazy_names

if TYPE_CHECKING:
    from convarium.runs.store import Store, StudyRecord
    from convarium.runs.stored_run import StoredRun

__all__ = ["Store", "StoredRun", "StudyRecord"]

__getattr__ = lazy_names(
    __name__,
    {
        "store": ("Store", "StudyRecord"),
        "stored_run": ("StoredRun",),
    },
)
