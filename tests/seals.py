"""Seals of stored runs that are changed by a test, and mended so that only the change itself can be noticed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from convarium.disk import file_digest
from convarium.runs.seal import SEAL, sealed_text


def mend_seal(folder: Path, change: Callable[[dict[str, Any]], object] | None = None) -> None:
    """Changes a seal's fields, and gives it the digests that its files and itself now have.

    Args:
        folder: of the run.
        change: changes the fields in place; None: only the digests are made anew.
    """
    values = json.loads((folder / SEAL).read_text("utf-8"))
    del values["digest"]
    values["files"] = {name: file_digest(folder / name) for name in values["files"]}
    if change is not None:
        change(values)
    (folder / SEAL).write_text(sealed_text(values), "utf-8")


def age_seal(folder: Path) -> None:
    """Writes a seal as Convarium 0.1 wrote it, without a kind and a digest of its own."""
    values = json.loads((folder / SEAL).read_text("utf-8"))
    del values["digest"], values["kind"]
    (folder / SEAL).write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", "utf-8")
