"""The seal of a record: a JSON file that holds the digest of its own text, and those of the files that belong to it.

The digest is the SHA-256 of the file's bytes with "" in the place of the digest. So any byte that changes is noticed,
and any language can check it.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from convarium.disk import parse_json, read_bytes
from convarium.errors import FileContentError
from convarium.records import Outcome

SEAL = "outcome.json"
RECIPE, HISTORY, PREDICTED = "recipe.json", "history.jsonl", "predicted.jsonl"
STEPS, PREDICTIONS, NETWORK, WEIGHTS = "steps.npz", "predictions.npz", "network.json", "weights.safetensors"
MODEL = "model.json"
FILES = (RECIPE, HISTORY, PREDICTED, STEPS, PREDICTIONS, NETWORK, WEIGHTS, MODEL)
"""All files that a seal may name, beside those of `epoch_file`."""

WHOLE, RECORD = "run", "record"
"""Kinds of a seal: of a run with all of its files, and of a record that lacks some, such as weights and predictions."""

_DIGITS = 64
_EPOCH_FILE = re.compile(r"weights-epoch-([0-9]{4,9})\.safetensors")


class Seal(NamedTuple):
    """What a seal says.

    Attributes:
        values: its fields, without kind, files and digest.
        files: the digests of the files, by name.
        kind: WHOLE or RECORD; None in seals that are older than this field.
        has_digest: whether it has a digest of its own, which older ones have not.
    """

    values: dict[str, Any]
    files: dict[str, str]
    kind: str | None
    has_digest: bool


def epoch_file(epoch: int) -> str:
    """The name of the file that keeps the weights after so many epochs; 0: those before the first step."""
    return f"weights-epoch-{epoch:04}.safetensors"


def epoch_of(name: str) -> int | None:
    """The epoch whose weights a file keeps, by its name; None: it is another file."""
    found = _EPOCH_FILE.fullmatch(name)
    return int(found[1]) if found and name == epoch_file(int(found[1])) else None


def files_of(outcome: Outcome) -> frozenset[str]:
    """The names of the files that a whole run has, and of MODEL, which whole runs of Convarium 0.1 have not."""
    files = {RECIPE, HISTORY}
    if any(row.test_accuracy is not None for row in outcome.history):
        files.add(PREDICTED)
    if outcome.status != "failed":
        files |= {STEPS, NETWORK, WEIGHTS, MODEL}
    if outcome.status == "finished" and (outcome.test or outcome.validation) is not None:
        files.add(PREDICTIONS)
    return frozenset(files)


def sealed_text(values: Mapping[str, Any]) -> str:
    """A JSON text of these fields, a line each, and of the text's own digest.

    Raises:
        ValueError: a number that is not finite.
    """
    lines = [f" {json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in values.items()]
    text = "{\n" + "".join(f"{line},\n" for line in lines)
    digest = hashlib.sha256(f'{text} "digest": ""\n}}\n'.encode()).hexdigest()
    return f'{text} "digest": "{digest}"\n}}\n'


def read_sealed(path: Path, limit_bytes: int) -> tuple[dict[str, Any], bool]:
    """The fields of a sealed file without its digest, and whether it had one, which was then right.

    Raises:
        FileContentError: it is damaged.
        OSError: it cannot be read.
    """
    content = read_bytes(path, limit_bytes)
    try:
        values = parse_json(content.decode(), str(path))
    except UnicodeDecodeError as error:
        raise FileContentError(f"{path} is not text in UTF-8") from error
    if type(values) is not dict:
        raise FileContentError(f"{path} does not hold the fields of a record")
    if "digest" not in values:
        return values, False
    digest = values.pop("digest")
    written = f'"digest": "{digest}"'.encode("utf-8", "replace")
    before, found, after = content.rpartition(written)
    if not found or hashlib.sha256(before + b'"digest": ""' + after).hexdigest() != digest:
        raise FileContentError(f"{path} was changed: it does not have its own digest")
    return values, True


def read_seal(path: Path, limit_bytes: int) -> Seal:
    """What the seal at `path` says; that it fits the run is for `check_files` to say.

    Raises:
        FileContentError: it is damaged.
        OSError: it cannot be read.
    """
    values, has_digest = read_sealed(path, limit_bytes)
    kind, files = values.pop("kind", None), values.pop("files", None)
    if kind not in ((WHOLE, RECORD) if has_digest else (None,)):
        raise FileContentError(f"{path} is damaged: its kind does not exist")
    if type(files) is not dict or not all(type(digest) is str and len(digest) == _DIGITS for digest in files.values()):
        raise FileContentError(f"{path} is damaged: it has no digests of its files")
    return Seal(values, files, kind, has_digest)


def check_files(seal: Seal, outcome: Outcome, folder: Path) -> str | None:
    """What is wrong with a seal's list of files, which is known and need not be believed; None if nothing is.

    Args:
        seal: of the run.
        outcome: how the run ended.
        folder: of the run, in which no other of the FILES may lie.
    """
    by_epoch = {name: epoch for name in seal.files if (epoch := epoch_of(name)) is not None}
    whole, listed = files_of(outcome), seal.files.keys() - by_epoch.keys()
    required = whole - {MODEL} if seal.kind == WHOLE else {RECIPE, HISTORY}
    if required - listed:
        return f"{min(required - listed)} is not among its files"
    surplus = listed - whole if seal.kind == WHOLE else listed - set(FILES)
    surplus |= {name for name, epoch in by_epoch.items() if epoch > len(outcome.history)}
    surplus |= {name for name in FILES if name not in listed and os.path.lexists(f"{folder}/{name}")}
    return f"{min(surplus)[:80]} is not a file of this run" if surplus else None
