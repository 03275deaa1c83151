"""The folder where runs and studies lie: one folder a run, written whole or not at all.

    runs/<dataset>-<model>-s<seed>-<key8>/
        recipe.json           what was asked
        history.jsonl         a row an epoch, from the first epoch on
        steps.npz             loss and accuracy of every training step
        predictions.npz       test logits and labels
        weights.safetensors   the selected weights
        outcome.json          how it ended, with the digests of the files above; written last, so that it is the seal
        last.ckpt             while unfinished: what resuming needs
    studies/<name>/study.json

Nothing that is read back can run code: JSON, npz without pickle, safetensors.
"""

import dataclasses
import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from safetensors.torch import load_file, save_file
from torch import Tensor

from convarium.errors import ConvariumError, StoreError
from convarium.recipe import Recipe, recipe_from_json
from convarium.records import Cost, Environment, Epoch, Outcome, Scores

_SEAL = "outcome.json"


@dataclass(frozen=True)
class StoredRun:
    """A finished run on disk. `outcome` holds no arrays; they are read when asked for."""

    key: str
    path: Path
    recipe: Recipe
    outcome: Outcome

    def predictions(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Test logits (n, classes) float32 and labels (n,) int64; None where the run has none."""
        return self._pair("predictions.npz", "logits", "labels")

    def steps(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Loss and accuracy of every training step, both (steps,) float32; None where the run has none."""
        return self._pair("steps.npz", "loss", "accuracy")

    def weights(self) -> dict[str, Tensor] | None:
        """The selected weights by name; None where the run has none."""
        path = self.path / "weights.safetensors"
        return load_file(path) if path.exists() else None

    def _pair(self, file: str, first: str, second: str) -> tuple[np.ndarray, np.ndarray] | None:
        path = self.path / file
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as arrays:
            return arrays[first], arrays[second]


@dataclass(frozen=True)
class StudyRecord:
    """`study.json`: a question, its plan, and the keys of its runs.

    Attributes:
        base: the recipe fields that all runs share; another base under the same name is an error.
        keys: of the runs, in the plan's order.
        planned: number of runs that were planned at the start; what lies beyond was added by an extension.
        command: the command line that made it, for people to repeat.
    """

    name: str
    question: str
    compare: str
    baseline: Any
    base: Mapping[str, Any]
    keys: tuple[str, ...]
    planned: int
    command: str | None = None


class Store:
    """The runs and studies under one folder."""

    def __init__(self, root: Path | str = ".") -> None:
        self.root = Path(root)

    def folder(self, recipe: Recipe, key: str) -> Path:
        """Where a run lies, or would lie. The name is for people; only the key in it is looked up."""
        found = sorted((self.root / "runs").glob(f"*-{key[:8]}"))
        if found:
            return found[0]
        dataset = Path(recipe.dataset.removeprefix("folder:")).name
        return self.root / "runs" / f"{_slug(dataset)}-{_slug(recipe.model)}-s{recipe.seed}-{key[:8]}"

    def find(self, recipe: Recipe, key: str) -> StoredRun | None:
        """The finished run of a key; None if there is none yet.

        Raises:
            StoreError: a run that is sealed but damaged.
        """
        path = self.folder(recipe, key)
        return read_run(path) if (path / _SEAL).exists() else None

    def set_aside(self, path: Path) -> Path:
        """Renames a damaged run's folder so that it is out of the way but not lost, and returns its new place."""
        for number in range(1, 1000):
            aside = path.with_name(f"{path.name}.damaged-{number}")
            if not aside.exists():
                return path.rename(aside)
        raise StoreError(f"too many damaged copies of {path}", hint="delete some of them")

    def begin(self, recipe: Recipe, key: str) -> Path:
        """Makes the folder of a run and writes its recipe; finds an unfinished one again."""
        path = self.folder(recipe, key)
        path.mkdir(parents=True, exist_ok=True)
        write_json(path / "recipe.json", recipe.to_json() | {"key": key})
        return path

    def finish(self, path: Path, outcome: Outcome) -> StoredRun:
        """Writes an outcome's files and, last, the seal. Afterwards `last.ckpt` is gone."""
        write_history(path, outcome.history)
        arrays = {
            "steps.npz": {"loss": outcome.step_loss, "accuracy": outcome.step_accuracy},
            "predictions.npz": {"logits": outcome.logits, "labels": outcome.labels},
        }
        files = ["recipe.json", "history.jsonl"]
        for name, content in arrays.items():
            present = {k: v for k, v in content.items() if v is not None}
            if present:
                _write(path / name, lambda file, present=present: np.savez_compressed(file, **present))  # type: ignore[misc]
                files.append(name)
        if outcome.weights is not None:
            weights = {name: tensor.detach().cpu().contiguous() for name, tensor in outcome.weights.items()}
            write_tensors(path / "weights.safetensors", weights, {})
            files.append("weights.safetensors")
        seal = _outcome_to_json(outcome) | {"files": {name: _digest(path / name) for name in files}}
        write_json(path / _SEAL, seal)
        (path / "last.ckpt").unlink(missing_ok=True)
        return read_run(path)

    @contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        """Holds a run's folder against other processes; the lock goes with the process that held it.

        Raises:
            StoreError: another process is training this run.
        """
        (self.root / "runs").mkdir(parents=True, exist_ok=True)
        held = FileLock(self.root / "runs" / f".{path.name}.lock")
        try:
            with held.acquire(timeout=0):
                yield
        except Timeout as error:
            raise StoreError(
                f"{path} is being trained by another process", hint="wait for it, or use another --store folder"
            ) from error

    def runs(self) -> list[StoredRun]:
        """All finished, undamaged runs, by folder name."""
        seals = sorted((self.root / "runs").glob("*/" + _SEAL))
        return [read_run(seal.parent) for seal in seals if ".damaged-" not in seal.parent.name]

    def run(self, name: str) -> StoredRun:
        """A run by its folder's name or path, or by the beginning of its key.

        Raises:
            StoreError: none or several such runs, or a damaged one.
        """
        given = Path(name)
        for path in (given, self.root / "runs" / name):
            if (path / _SEAL).exists():
                return read_run(path)
        found = [p.parent for p in (self.root / "runs").glob(f"*-{name[:8]}/" + _SEAL)] if len(name) >= 4 else []
        found = found or [p.parent for p in (self.root / "runs").glob(f"*-{name}*/" + _SEAL)]
        if len(found) == 1:
            return read_run(found[0])
        if found:
            raise StoreError(
                f"{len(found)} runs match {name!r}", hint=f"say which: {', '.join(p.name for p in found[:3])}"
            )
        raise StoreError(f"no finished run {name!r} in {self.root / 'runs'}", hint="see the folder names there")

    def save_study(self, study: StudyRecord) -> Path:
        """Writes `study.json` and returns its folder."""
        path = self.root / "studies" / study.name
        path.mkdir(parents=True, exist_ok=True)
        write_json(path / "study.json", dataclasses.asdict(study))
        return path

    def find_study(self, name: str) -> StudyRecord | None:
        """The study of a name, or None.

        Raises:
            StoreError: its file is damaged.
        """
        path = self.root / "studies" / name / "study.json"
        if not path.exists():
            return None
        try:
            values = json.loads(path.read_text("utf-8"))
            return StudyRecord(**(values | {"keys": tuple(values["keys"])}))
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError(
                f"{path} is damaged", hint="delete it; the runs stay, and the study is made anew"
            ) from error

    def study(self, name: str) -> StudyRecord:
        """The study of a name.

        Raises:
            StoreError: there is none; names those there are.
        """
        found = self.find_study(name)
        if found is None:
            names = sorted(p.parent.name for p in (self.root / "studies").glob("*/study.json"))
            hint = f"there are: {', '.join(names)}" if names else "make one with convarium compare"
            raise StoreError(f"no study {name!r} in {self.root / 'studies'}", hint=hint)
        return found

    def runs_of(self, study: StudyRecord) -> list[StoredRun]:
        """The study's finished runs, in the plan's order; what is unfinished is left out."""
        paths = [path for key in study.keys for path in (self.root / "runs").glob(f"*-{key[:8]}")]
        return [read_run(path) for path in paths if (path / _SEAL).exists()]


def read_run(path: Path) -> StoredRun:
    """Reads a sealed run and compares its files with the seal.

    Raises:
        StoreError: a file is missing or damaged; names it.
    """
    file = path / _SEAL
    try:
        seal = json.loads(file.read_text("utf-8"))
        for name, digest in seal["files"].items():
            file = path / name
            if _digest(file) != digest:
                raise StoreError(f"{file} is damaged: its digest is not the one in {_SEAL}", hint=_MEND)
        file = path / "recipe.json"
        recipe = json.loads(file.read_text("utf-8"))
        key = recipe.pop("key")
        file = path / "history.jsonl"
        return StoredRun(key, path, recipe_from_json(recipe), _outcome_from_json(seal, read_history(path)))
    except StoreError:
        raise
    except ConvariumError as error:
        raise StoreError(f"{path} cannot be read: {error}", hint=_MEND) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StoreError(f"{file} is missing or damaged", hint=_MEND) from error


_MEND = "delete the folder, or run its study again, which sets it aside and trains it anew"


def write_history(path: Path, history: tuple[Epoch, ...]) -> None:
    """Writes `history.jsonl` into a run's folder; a number that JSON has not (a diverged loss) becomes null."""
    rows = [json.dumps({k: _finite(v) for k, v in dataclasses.asdict(row).items()}) for row in history]
    _write(path / "history.jsonl", lambda file: file.write("".join(row + "\n" for row in rows).encode()))


def read_history(path: Path) -> tuple[Epoch, ...]:
    """The rows of a run's `history.jsonl`; a training loss of null comes back as NaN."""
    rows = [json.loads(line) for line in (path / "history.jsonl").read_text("utf-8").splitlines()]
    return tuple(Epoch(**(row | {"train_loss": math.nan} if row["train_loss"] is None else row)) for row in rows)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON whole or not at all."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    _write(path, lambda file: file.write(text.encode()))


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes safetensors whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(dict(tensors), temporary, dict(metadata))
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write(path: Path, fill: Callable[[Any], object]) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        temporary = Path(file.name)
        try:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    arrays = {"history", "step_loss", "step_accuracy", "logits", "labels", "weights"}
    plain = {f.name: getattr(outcome, f.name) for f in dataclasses.fields(outcome) if f.name not in arrays}
    return {
        k: dataclasses.asdict(v) if dataclasses.is_dataclass(v) and not isinstance(v, type) else v
        for k, v in plain.items()
    }


def _outcome_from_json(seal: dict[str, Any], history: tuple[Epoch, ...]) -> Outcome:
    def scores(values: dict[str, Any] | None) -> Scores | None:
        return values and Scores(**(values | {"confusion": tuple(map(tuple, values["confusion"]))}))  # type: ignore[return-value]

    environment = seal["environment"]
    return Outcome(
        status=seal["status"],
        history=history,
        environment=Environment(**(environment | {"stack": tuple(environment["stack"])})),
        cost=Cost(**seal["cost"]) if seal["cost"] else None,
        message=seal["message"],
        selected_epoch=seal["selected_epoch"],
        validation=scores(seal["validation"]),
        test=scores(seal["test"]),
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _slug(text: str) -> str:
    return re.sub(r"[^\w.]+", "-", text).strip("-.")[:60] or "data"
