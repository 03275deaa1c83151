"""The store: a folder of runs and studies, with one folder for each run, each of whose files is written in one step.

runs/<dataset>-<model>-s<seed>-<key8>/
    recipe.json           the recipe and its key
    history.jsonl         a row an epoch, from the first epoch on
    predicted.jsonl       predicted test images by class, a row an epoch, if the recipe watches the test split
    steps.npz             loss and accuracy of every training step
    predictions.npz       test logits and labels
    network.json          the network layer by layer
    weights.safetensors   the selected weights
    weights-epoch-0002.safetensors  those after epoch 2, where weights were kept by epoch; 0000: the initial ones
    model.json            what using them takes: classes, size, mean, deviation, …; in the weights' metadata too
    surface.safetensors   the loss around those weights, once a report with diagnostics has computed it
    outcome.json          how the run ended, with the digests of the files above; written last, as the seal
    last.ckpt             the checkpoint of an unfinished or failed run
    last.retried          why an unfinished run was tried again, if it was
    failed/               the record of a failed run while it is tried again
studies/<name>/study.json

A folder of records, such as results/, holds the same in two kinds of files and is read only; see `runs.archive`:
runs.jsonl                every run without weights and predictions
studies/<name>.json       each study
"""

import dataclasses
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

from convarium.disk import remove_unfinished, write_json
from convarium.errors import DamageError, StoreError
from convarium.recipes.recipe import Recipe
from convarium.records import Outcome
from convarium.runs.archive import RECORDS, read_records
from convarium.runs.failed import drop_failed_run, drop_noted_retry, keep_failed_run
from convarium.runs.files import write_outcome
from convarium.runs.folders import RunFolders, is_same_recipe, key_of, recipe_of
from convarium.runs.links import check_links
from convarium.runs.locks import lock_file
from convarium.runs.named_run import named_run
from convarium.runs.names import check_path, same_file
from convarium.runs.quick_look import quick_look
from convarium.runs.reading import RunReader, garbage_collection_paused
from convarium.runs.seal import RECIPE, SEAL
from convarium.runs.stored_run import StoredRun, read_run
from convarium.runs.study_record import StudyRecord, read_study, write_study

__all__ = ["Store", "StoredRun", "StudyRecord"]

_PAGE_SECONDS = 3600
"""No page takes so long to write."""


class Store:
    """The runs and studies under one folder. A run is read, and its files are digested, once while they do not change.

    Args:
        root: the folder; it is made when something is written.
    """

    def __init__(self, root: Path | str = ".") -> None:
        self.root = Path(root)
        self._folders = RunFolders(self.root / "runs")
        self.reader = RunReader(self._folders)

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    def folder(self, recipe: Recipe, key: str) -> Path:
        """The folder of a run, existing or not. Its name is for people; only the key in it is looked up."""
        if key in self.records:
            return self.records[key].path
        existing = self.reader.folder_of(key)
        return self._folders.new(recipe, key) if existing is None else existing

    def find(self, recipe: Recipe, key: str) -> StoredRun | None:
        """The finished run of a key, with each of its files compared with its digest; None if there is none yet.

        Raises:
            DamageError: a run that is sealed but damaged, or has another recipe than its key stands for.
            StoreError: a run that may not be read.
        """
        run = self._find(key)
        if run and not is_same_recipe(run.recipe, recipe):
            raise DamageError(f"{run.path / RECIPE} has another recipe than its key stands for")
        if run:
            run.verify()
        return run

    def set_aside(self, path: Path) -> Path:
        """Renames a damaged run's folder so that it is out of the way but not lost, and returns its new path.

        Only for a process that holds the run's lock.
        """
        self.check_writable()
        for number in range(1, 1000):
            aside = path.with_name(f"{path.name}.damaged-{number}")
            if not os.path.lexists(aside):
                self._folders.remove(path.name)
                return path.rename(aside)
        raise StoreError(f"too many damaged copies of {path}", hint="remove some of them")

    def begin(self, recipe: Recipe, key: str, source: str | None = None) -> Path:
        """Makes the folder of a run and writes its recipe; that of an unfinished or failed run is used again.

        Only for a process that holds the run's lock. The record of a failed run is kept in the folder, and `find` finds
        it, until the run is finished.

        Args:
            recipe: of the run.
            key: of the run, see `Recipe.key`.
            source: digest of the source of a user's own network, see `source_digest`; None: a network of the zoo.

        Raises:
            StoreError: the run is finished, and stays as it is; or its folder is a link out of the store, or has one.
        """
        self.check_writable()
        run = self.find(recipe, key)
        if run and run.outcome.status != "failed":
            raise StoreError(f"{run.path} is finished and stays as it is", hint="remove it to train it again")
        path = self.folder(recipe, key)
        check_path(path)
        check_links(path, self.root / "runs")
        path.mkdir(parents=True, exist_ok=True)
        self._folders.add(path.name)
        remove_unfinished(path)
        if (path / SEAL).exists():
            keep_failed_run(path)
        write_json(path / RECIPE, recipe.to_json() | {"key": key} | ({"source": source} if source else {}))
        return path

    def finish(self, path: Path, outcome: Outcome) -> StoredRun:
        """Writes an outcome's files and, last, the seal. Afterwards the checkpoints are gone, but for a failed run."""
        write_outcome(path, outcome)
        if outcome.status != "failed":
            for file in path.glob("last.ckpt*"):
                file.unlink(missing_ok=True)
        drop_failed_run(path)
        drop_noted_retry(path)
        run = read_run(path)
        self.reader.remember(run)
        return run

    def read_once(self) -> AbstractContextManager[None]:
        """Inside, the folders of runs are those of now, whatever others do, so that 10,000 runs are looked up fast."""
        return self._folders.read_once()

    @cached_property
    def records(self) -> dict[str, StoredRun]:
        """The runs of the records file by their keys; none if there is no such file."""
        path = self.root / RECORDS
        return read_records(path) if path.exists() else {}

    def check_writable(self) -> None:
        """Refuses a folder of records.

        Raises:
            StoreError: it is one.
        """
        if (self.root / RECORDS).exists():
            raise StoreError(f"{self.root} is a folder of records, which is read only", hint="choose another --store")

    def _find(self, key: str) -> StoredRun | None:
        """The finished or failed run of a key, whatever its recipe."""
        return self.records[key] if key in self.records else self.reader.find(key)

    @contextmanager
    def lock(self, keys: Iterable[str]) -> Iterator[None]:
        """Locks runs against other processes, all or none; the locks end with the process.

        Args:
            keys: of the runs. Two whose keys begin alike share a lock.

        Raises:
            LockedError: another process is training one of the runs.
        """
        self.check_writable()
        keys = {key[:8] for key in keys}
        with ExitStack() as held:
            for digits in sorted(keys):
                held.enter_context(lock_file(self.lock_path(digits), f"run {digits} of {self.root}"))
            held.enter_context(self._folders.locked(keys))
            yield

    def lock_path(self, key: str) -> Path:
        """The file by which a run is locked."""
        return self.root / "runs" / f".{key[:8]}.lock"

    @contextmanager
    def lock_studies(self) -> Iterator[None]:
        """Locks the studies against other processes, of which each has them for a moment.

        Raises:
            LockedError: another process has had them for a minute.
        """
        with lock_file(self.root / "studies" / ".lock", str(self.root / "studies"), wait_seconds=60):
            yield

    def begun(self, key: str) -> Recipe | None:
        """The recipe of a run that was begun and has not ended; None if there is none, or it cannot be read."""
        for path in self._folders.of(key):
            if key_of(path) == key and not self.is_sealed(path):
                return recipe_of(path)
        return None

    def is_sealed(self, path: Path) -> bool:
        """Whether the run in a folder has ended, and is not being tried again."""
        return (path / SEAL).exists()

    def runs(self) -> list[StoredRun]:
        """All finished, undamaged runs, by folder name."""
        with garbage_collection_paused():
            runs = [*filter(None, map(self.reader.read, self._folders.all())), *self.records.values()]
        return sorted(runs, key=lambda run: run.path.name)

    def runs_on(self, dataset: str, *, most: int) -> list[StoredRun]:
        """Some finished, undamaged runs on a data set, at most so many, by folder name.

        Args:
            dataset: as in a recipe.
            most: folders that are read.
        """
        folders = self._folders.on(dataset)[:most]
        recorded = [run for run in self.records.values() if run.recipe.dataset == dataset][:most]
        with garbage_collection_paused():
            read = filter(None, map(self.reader.read, folders))
            return [*(run for run in read if run.recipe.dataset == dataset), *recorded]

    def run(self, name: str) -> StoredRun:
        """A run by its folder's name or path, or by the beginning of its key.

        The digits at the end of the name may be left out, where no other run is called the same without them.

        Raises:
            StoreError: none or several such runs, or a damaged one.
        """
        return named_run(name, self.root / "runs", reader=self.reader, folders=self._folders, records=self.records)

    def update_study(self, name: str, change: Callable[[StudyRecord | None], StudyRecord]) -> StudyRecord:
        """Reads a study, changes it and writes it, while no other process can, and returns what was written.

        Args:
            name: of the study.
            change: gets the study as the store has it, or None, and returns it as it is to be.

        Raises:
            LockedError: another process has been changing the studies for a minute.
            StoreError: the study is damaged, the store is read only, or `check_study_name` refuses the name.
        """
        self.check_writable()
        with self.lock_studies():
            self.check_study_name(name)
            study = change(self.find_study(name))
            path = self.study_folder(name)
            check_path(path)
            path.mkdir(parents=True, exist_ok=True)
            remove_unfinished(path, "study.json")
            remove_unfinished(path, idle_seconds=_PAGE_SECONDS)  # pages are written without this lock
            write_study(path / "study.json", study)
        return study

    def study_folder(self, name: str) -> Path:
        """The folder of a study, existing or not, into which files may be written.

        Raises:
            StoreError: it is a link out of the store, or has such a link in it.
        """
        path = self.root / "studies" / name
        check_links(path, self.root / "studies")
        return path

    def check_study_name(self, name: str) -> None:
        """Refuses a name whose folder would be another study's where a file system ignores case.

        Raises:
            StoreError: the store has a study of that other name.
        """
        alike = next((other for other in self.study_names() if other != name and same_file(other, name)), None)
        if alike is not None:
            raise StoreError(
                f"study {name!r} would be one folder with the study {alike!r} on Windows and macOS",
                hint=f"use --name {alike} to extend that one, or another name",
            )

    def find_study(self, name: str) -> StudyRecord | None:
        """The study of a name, or None.

        Raises:
            StoreError: its file is damaged or may not be read.
        """
        places = self.root / "studies" / name / "study.json", self.root / "studies" / f"{name}.json"
        path = next((place for place in places if place.exists()), None)
        return None if path is None else dataclasses.replace(read_study(path), name=name)

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

    def runs_of(
        self, study: StudyRecord, *, files: Collection[str] = (), damaged: list[StoreError] | None = None
    ) -> list[StoredRun]:
        """The study's finished runs, in the plan's order; what is unfinished is left out.

        Args:
            study: whose runs.
            files: names of files that will be read, see `seal.FILES`; they are compared with their digests now. Recipe,
                history and outcome always are.
            damaged: gets the error of each run that is damaged or may not be read; None: the first one is raised.

        Raises:
            StoreError: a run is damaged or may not be read.
        """
        runs: list[StoredRun] = []
        with self._folders.read_once(), garbage_collection_paused():
            for key in study.keys:
                try:
                    run = self._find(key)
                    if run:
                        run.verify(files)
                except StoreError as error:
                    if damaged is None:
                        raise
                    damaged.append(error)
                    continue
                runs += [run] if run else []
        return runs

    def count_ended(self, study: StudyRecord, *, damaged: list[StoreError]) -> int:
        """How many of a study's runs have ended, without looking into those that are whole, see `quick_look`.

        Args:
            study: whose runs.
            damaged: gets the error of each run that is damaged or may not be read.
        """
        seen = 0
        with self._folders.read_once(), garbage_collection_paused():
            looks = {key: [quick_look(path) for path in self._folders.of(key)] for key in study.keys}
            for key, found in looks.items():
                if any(look is not None and look.key == key for look in found):
                    seen += 1
                    continue
                try:
                    seen += self._find(key) is not None
                except StoreError as error:
                    damaged.append(error)
        return seen
