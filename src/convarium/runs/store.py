"""The store: a folder of runs and studies, with one folder for each run, each of whose files is written in one step.

runs/<dataset>-<model>-s<seed>-<key8>/
    recipe.json           the recipe and its key
    history.jsonl         a row an epoch, from the first epoch on
    predicted.jsonl       predicted test images by class, a row an epoch, if the recipe watches the test split
    steps.npz             loss and accuracy of every training step
    predictions.npz       test logits and labels
    network.json          the network layer by layer
    weights.safetensors   the selected weights
    surface.safetensors   the loss around those weights, once a report with diagnostics has computed it
    outcome.json          how the run ended, with the digests of the files above; written last, as the seal
    last.ckpt             the checkpoint of an unfinished run
studies/<name>/study.json

A folder of records, such as results/, holds the same in two kinds of files and is read only; see `runs.archive`:
runs.jsonl                every run without weights and predictions
studies/<name>.json       each study
"""

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from filelock import FileLock, Timeout

from convarium.disk import write_json
from convarium.errors import StoreError
from convarium.recipes.recipe import Recipe
from convarium.records import Outcome
from convarium.runs.archive import RECORDS, read_records
from convarium.runs.files import SEAL, FileState, StoredRun, file_state, read_run, write_outcome
from convarium.runs.names import check_path, file_name
from convarium.runs.study_record import StudyRecord, study_from_json

__all__ = ["Store", "StoredRun", "StudyRecord"]


class Store:
    """The runs and studies under one folder. A run is read, and its files are digested, once while they do not change.

    Args:
        root: the folder; it is made when something is written.
    """

    def __init__(self, root: Path | str = ".") -> None:
        self.root = Path(root)
        self._read_runs: dict[Path, tuple[FileState, StoredRun]] = {}

    def folder(self, recipe: Recipe, key: str) -> Path:
        """The folder of a run, existing or not. Its name is for people; only the key in it is looked up."""
        if key in self._records:
            return self._records[key].path
        existing = sorted((self.root / "runs").glob(f"*-{key[:8]}"))
        if existing:
            return existing[0]
        dataset = Path(recipe.dataset.removeprefix("folder:")).name
        name = f"{file_name(dataset, longest=40)}-{file_name(recipe.model)}-s{recipe.seed}-{key[:8]}"
        return self.root / "runs" / name

    def find(self, recipe: Recipe, key: str) -> StoredRun | None:
        """The finished run of a key; None if there is none yet.

        Raises:
            StoreError: a run that is sealed but damaged.
        """
        if key in self._records:
            return self._records[key]
        path = self.folder(recipe, key)
        return self._read(path) if (path / SEAL).exists() else None

    def set_aside(self, path: Path) -> Path:
        """Renames a damaged run's folder so that it is out of the way but not lost, and returns its new path."""
        self._check_writable()
        for number in range(1, 1000):
            aside = path.with_name(f"{path.name}.damaged-{number}")
            if not aside.exists():
                return path.rename(aside)
        raise StoreError(f"too many damaged copies of {path}", hint="delete some of them")

    def begin(self, recipe: Recipe, key: str, source: str | None = None) -> Path:
        """Makes the folder of a run and writes its recipe; the folder of an unfinished or failed run is used again.

        Args:
            recipe: of the run.
            key: of the run, see `Recipe.key`.
            source: digest of the source of a user's own network, see `source_digest`; None: a network of the zoo.
        """
        self._check_writable()
        path = self.folder(recipe, key)
        check_path(path)
        path.mkdir(parents=True, exist_ok=True)
        (path / SEAL).unlink(missing_ok=True)  # a failed run's seal names the digests of files that now change
        write_json(path / "recipe.json", recipe.to_json() | {"key": key} | ({"source": source} if source else {}))
        return path

    def finish(self, path: Path, outcome: Outcome) -> StoredRun:
        """Writes an outcome's files and, last, the seal. Afterwards the checkpoints are gone."""
        write_outcome(path, outcome)
        for name in ("last.ckpt", "last.ckpt.other"):
            (path / name).unlink(missing_ok=True)
        run = read_run(path, verify=False)  # the digests have just been made from these files
        self._read_runs[path] = file_state(path), run
        return run

    @cached_property
    def _records(self) -> dict[str, StoredRun]:
        """The runs of the records file by their keys; none if there is no such file."""
        path = self.root / RECORDS
        return read_records(path) if path.exists() else {}

    def _check_writable(self) -> None:
        if (self.root / RECORDS).exists():
            raise StoreError(f"{self.root} is a folder of records, which is read only", hint="choose another --store")

    def _read(self, path: Path) -> StoredRun:
        """The run of a folder, from memory if its files have the sizes and times that they had.

        Raises:
            StoreError: a file is missing or damaged.
        """
        before = self._read_runs.get(path)
        state = file_state(path)
        if before is None or before[0] != state:
            before = self._read_runs[path] = state, read_run(path)
        return before[1]

    @contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        """Locks a run's folder against other processes; the lock ends with the process.

        Raises:
            StoreError: another process is training this run.
        """
        (self.root / "runs").mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.root / "runs" / f".{path.name}.lock")
        try:
            with lock.acquire(timeout=0):
                yield
        except Timeout as error:
            raise StoreError(
                f"{path} is being trained by another process", hint="wait for it, or use another --store folder"
            ) from error

    def runs(self) -> list[StoredRun]:
        """All finished, undamaged runs, by folder name."""
        seals = sorted((self.root / "runs").glob("*/" + SEAL))
        runs = [self._read(seal.parent) for seal in seals if ".damaged-" not in seal.parent.name]
        return sorted([*runs, *self._records.values()], key=lambda run: run.path.name)

    def run(self, name: str) -> StoredRun:
        """A run by its folder's name or path, or by the beginning of its key.

        Raises:
            StoreError: none or several such runs, or a damaged one.
        """
        given = Path(name)
        for path in (given, self.root / "runs" / name):
            if (path / SEAL).exists():
                return self._read(path)
        recorded = [
            run
            for run in self._records.values()
            if run.path in (given, self.root / "runs" / name) or (len(name) >= 4 and run.key.startswith(name))
        ]
        if len(recorded) == 1:
            return recorded[0]
        matches = [p.parent for p in (self.root / "runs").glob(f"*-{name[:8]}/" + SEAL)] if len(name) >= 4 else []
        matches = matches or [p.parent for p in (self.root / "runs").glob(f"*-{name}*/" + SEAL)]
        if len(matches) == 1:
            return self._read(matches[0])
        if matches:
            raise StoreError(
                f"{len(matches)} runs match {name!r}", hint=f"say which: {', '.join(p.name for p in matches[:3])}"
            )
        raise StoreError(f"no finished run {name!r} in {self.root / 'runs'}", hint="see the folder names there")

    def save_study(self, study: StudyRecord) -> Path:
        """Writes `study.json` and returns its folder."""
        self._check_writable()
        path = self.root / "studies" / study.name
        check_path(path)
        path.mkdir(parents=True, exist_ok=True)
        write_json(path / "study.json", dataclasses.asdict(study))
        return path

    def find_study(self, name: str) -> StudyRecord | None:
        """The study of a name, or None.

        Raises:
            StoreError: its file is damaged.
        """
        places = self.root / "studies" / name / "study.json", self.root / "studies" / f"{name}.json"
        path = next((place for place in places if place.exists()), None)
        if path is None:
            return None
        try:
            return study_from_json(json.loads(path.read_text("utf-8")))
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError(
                f"{path} is damaged", hint="delete it; the runs stay, and the study is made anew"
            ) from error

    def study(self, name: str) -> StudyRecord:
        """The study of a name.

        Raises:
            StoreError: there is none; names those there are.
        """
        study = self.find_study(name)
        if study is None:
            names = self.study_names()
            hint = f"there are: {', '.join(names)}" if names else "make one with convarium compare"
            raise StoreError(f"no study {name!r} in {self.root / 'studies'}", hint=hint)
        return study

    def study_names(self) -> list[str]:
        """The names of all studies, in alphabetical order."""
        folder = self.root / "studies"
        return sorted({p.parent.name for p in folder.glob("*/study.json")} | {p.stem for p in folder.glob("*.json")})

    def runs_of(self, study: StudyRecord) -> list[StoredRun]:
        """The study's finished runs, in the plan's order; what is unfinished is left out."""
        runs: list[StoredRun] = []
        for key in study.keys:
            if key in self._records:
                runs.append(self._records[key])
                continue
            paths = (self.root / "runs").glob(f"*-{key[:8]}")
            runs += [self._read(path) for path in paths if (path / SEAL).exists()]
        return runs

    def count_finished(self, study: StudyRecord) -> int:
        """The number of the study's finished runs. No run is read, so a damaged one counts."""
        runs = self.root / "runs"
        return sum(key in self._records or any(runs.glob(f"*-{key[:8]}/{SEAL}")) for key in study.keys)
