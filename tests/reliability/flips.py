"""A changed bit anywhere in a stored run is named by a command that uses its file, or changes no answer."""

import contextlib
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import short_studies

from convarium.cli import main
from convarium.errors import StoreError
from convarium.runs.store import Store
from flipped_bits import answers_of, flip_bits


def check(count: int) -> dict[str, Any]:
    """Flips a bit at `count` positions of each file of a run, and asks the library; at fewer the commands."""
    broken: list[str] = []
    figures: dict[str, Any] = {}
    short_studies.prepare()
    with tempfile.TemporaryDirectory() as made:
        store = Path(made) / "store"
        short_studies.undisturbed(short_studies.WATCHED, store)
        run = Store(store).runs()[0].path
        for who, positions, answers in (("the library", count, answers_of), ("the commands", count // 10, _commands)):
            try:
                figures[who] = {"positions in each file": positions, **flip_bits(run, positions, answers=answers)}
            except AssertionError as error:
                broken.append(f"{who}: {error}")
    return figures | {"broken": broken}


def _commands(run: Path) -> object:
    """What commands say about a run: its study's results, its scores, and itself when it is trained again.

    Raises:
        StoreError: one of them refuses it, with the command's sentence.
    """
    said = []
    for words in (["results", short_studies.NAME, "--json"], ["evaluate", run.name, "--json"]):
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            code = main([*words, "--store", str(run.parent.parent)])
        if code != 0 or "damaged" in output.getvalue() + errors.getvalue():  # a note names it, or an error
            raise StoreError(output.getvalue() + errors.getvalue())
        said.append(json.loads(output.getvalue()))
    return said
