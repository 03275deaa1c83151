"""Every file of a run is damaged in 18 ways, with the seal as it was and with digests that were made anew.

With the old seal each damage is named, or changes no answer. With new digests, as a stranger would make them, a run is
refused in one sentence or read, and what is read is in the range that it can have.
"""

import contextlib
import dataclasses
import io
import math
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import short_studies
import torch
from figures import Progress
from processes import in_a_process
from safetensors.torch import load, save

from convarium.cli import main
from convarium.errors import StoreError
from convarium.runs.seal import FILES, SEAL
from convarium.runs.store import Store
from flipped_bits import answers_of
from seals import mend_seal

NOBODY = 65534
"""A user who may read nothing that is not readable for all."""

Damage = Callable[[Path, Path], object]
"""Gets a file and the same file of another run, and damages the first."""


def check(count: int) -> dict[str, Any]:
    """Damages each file of a run in the first `count` ways."""
    short_studies.prepare()
    broken, progress, done = list[str](), Progress(), 0
    counts: dict[str, Counter[str]] = {"old digests": Counter(), "new digests": Counter()}
    read: list[str] = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        short_studies.undisturbed(short_studies.WATCHED, folder / "store")
        run, other = (found.path.name for found in Store(folder / "store").runs())
        expected = in_a_process(partial(_asked, folder / "store" / "runs" / run, user=0))
        for file in (SEAL, *FILES):
            for name, damage in list(DAMAGES.items())[:count]:
                for digests, counter in counts.items():
                    store = folder / "damaged"
                    shutil.rmtree(store, ignore_errors=True)
                    shutil.copytree(folder / "store", store)
                    path = store / "runs" / run
                    damage(path / file, store / "runs" / other / file)
                    if digests == "new digests":
                        try:
                            mend_seal(path)
                        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
                            counter["no digest can be made"] += 1
                            continue
                    user = NOBODY if name == "unreadable" else 0
                    answered = in_a_process(partial(_asked, path, user=user))
                    done += 1
                    what = f"{file}, {name}, {digests}"
                    problem = _problem(answered, expected, file, name=name, is_mended=digests == "new digests")
                    if problem:
                        broken.append(f"{what}: {problem}")
                    kind = _kind(answered, expected)
                    counter[kind] += 1
                    if digests == "new digests" and kind == "read":
                        read.append(f"{file}, {name}")
                    progress.tell(f"{done} damages, {len(broken)} broken")
    figures = {digests: dict(counter) for digests, counter in counts.items()}
    return {"damages": done, **figures, "read with new digests": read, "broken": broken}


def _asked(run: Path, *, user: int) -> dict[str, Any]:
    """What the library and the commands answer about a run: answers, errors and exit codes."""
    if user:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    try:
        answers = answers_of(run)
        library, error, values = repr(answers), None, _out_of_range(run)
    except StoreError as refused:
        library, error, values = None, str(refused), None
    commands = []
    for words in (["results", short_studies.NAME, "--json"], ["evaluate", run.name, "--json"]):
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            code = main([*words, "--store", str(run.parent.parent)])
        commands.append({"code": code, "said": output.getvalue(), "errors": errors.getvalue()})
    return {"broken": [], "answers": library, "error": error, "out of range": values, "commands": commands}


def _out_of_range(run: Path) -> str | None:
    """A value that no run can have, of one that was read."""
    found = Store(run.parent.parent).run(str(run))
    for scores in (found.outcome.train, found.outcome.validation, found.outcome.test):
        if scores and not (0 <= scores.accuracy <= 1 and scores.n > 0 and math.isfinite(scores.loss)):
            return repr(scores)
    epochs = [dataclasses.astuple(row) for row in found.outcome.history]
    if [row[0] for row in epochs] != list(range(1, len(epochs) + 1)):
        return repr(epochs)
    counts = found.predicted()
    test = found.outcome.test
    if counts and test and any(min(row) < 0 or sum(row) != test.n for row in counts):
        return repr(counts)
    return None


def _problem(
    answered: dict[str, Any], expected: dict[str, Any], file: str, *, name: str, is_mended: bool
) -> str | None:
    if answered["broken"]:
        return str(answered["broken"])
    is_unfinished = name == "gone" and file == SEAL  # a run without a seal is one that has not ended
    if answered["out of range"]:
        return f"it was read with {answered['out of range']}"
    for command, sound in zip(answered["commands"], expected["commands"], strict=True):
        if command["code"] not in (0, 1, 2) or "Traceback" in command["errors"]:
            return f"exit code {command['code']}: {command['errors']}"
        is_named = file in command["errors"] or file in command["said"]
        if not is_mended and not is_named and not is_unfinished and command["said"] != sound["said"]:
            return f"a command answers otherwise and does not name the file: {command['errors']}{command['said'][:500]}"
        if command["code"] and len(command["errors"]) > 2000:
            return f"an error of {len(command['errors'])} characters: {command['errors'][:200]}"
    if is_mended:
        return None
    if answered["error"] is None:
        return None if answered["answers"] == expected["answers"] else "it was believed"
    if is_unfinished and "no finished run" in answered["error"]:
        return None
    return None if file in answered["error"] else f"the file is not named: {answered['error']}"


def _kind(answered: dict[str, Any], expected: dict[str, Any]) -> str:
    if answered.get("error") is not None:
        return "refused"
    return "answers unchanged" if answered.get("answers") == expected["answers"] else "read"


# Damages


def _bytes(change: Callable[[bytes], bytes]) -> Damage:
    return lambda path, other: path.write_bytes(change(path.read_bytes()))


def _swapped(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    if len(lines) > 1 and content.isascii():
        return b"".join([*lines[1:], lines[0]])
    return content[len(content) // 2 :] + content[: len(content) // 2]


def _number(path: Path, value: str, filling: float) -> None:
    """Puts a number in the place of every number after a colon of a text, or of every value of arrays."""
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            values = {name: arrays[name].copy() for name in arrays.files}
        with np.errstate(all="ignore"):
            np.savez(path, **{name: np.full_like(array, filling, dtype="f4") for name, array in values.items()})
    elif path.suffix == ".safetensors":
        tensors = {name: torch.full_like(tensor, filling) for name, tensor in load(path.read_bytes()).items()}
        path.write_bytes(save(tensors))
    else:
        text = path.read_text("utf-8")
        path.write_text(re.sub(r"([:\[,] ?)-?\d+(\.\d+)?(e-?\d+)?(?=[,\]}\n])", rf"\g<1>{value}", text), "utf-8")


def _other_type(path: Path) -> None:
    if path.suffix == ".npz":
        np.savez(path, other=np.array(["text"]))
    elif path.suffix == ".safetensors":
        path.write_bytes(save({}))
    else:
        path.write_text("[]\n", "utf-8")


def _nested(path: Path) -> None:
    text = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    is_weights = path.suffix == ".safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text if is_weights else text)


def _replaced(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


DAMAGES: dict[str, Damage] = {
    "gone": lambda path, other: path.unlink(),
    "empty": _bytes(lambda content: b""),
    "cut in half": _bytes(lambda content: content[: len(content) // 2]),
    "last byte gone": _bytes(lambda content: content[:-1]),
    "one bit": _bytes(lambda c: c[: len(c) // 3] + bytes([c[len(c) // 3] ^ 1]) + c[len(c) // 3 + 1 :]),
    "zeros": _bytes(lambda c: c[: len(c) // 2] + bytes(64) + c[len(c) // 2 + 64 :]),
    "lines swapped": _bytes(_swapped),
    "doubled": _bytes(lambda content: content + content),
    "bytes appended": _bytes(lambda content: content + b"\n{}\n"),
    "another run's": lambda path, other: shutil.copy(other, path),
    "another type": lambda path, other: _other_type(path),
    "NaN": lambda path, other: _number(path, "NaN", math.nan),
    "-1": lambda path, other: _number(path, "-1", -1),
    "10^400": lambda path, other: _number(path, "1" + "0" * 400, math.inf),
    "200,000 deep": lambda path, other: _nested(path),
    "a folder": lambda path, other: _replaced(path, lambda p: p.mkdir()),
    "a device": lambda path, other: _replaced(path, lambda p: p.symlink_to("/dev/null")),
    "unreadable": lambda path, other: path.chmod(0),
}
"""Name → what it does to a file."""
