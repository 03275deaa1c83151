"""The folders of runs: their names, which are for people, and the keys in them, by which they are found."""

import os
import re
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from operator import itemgetter
from pathlib import Path
from typing import Any

from convarium.data.folder_options import own_name
from convarium.disk import read_json
from convarium.errors import ConvariumError, FileContentError, StoreError
from convarium.models.index import resolve
from convarium.recipes.recipe import Recipe, recipe_from_json
from convarium.recipes.starting import split_start
from convarium.runs.names import file_name
from convarium.runs.seal import RECIPE

RECIPE_BYTES = 2**20
"""A recipe.json is a few hundred bytes; one of more than this is none."""

_KEY_DIGITS = (8, 16, 32, 64)
_DIGITS_IN_NAME = re.compile(r"-([0-9a-f]{8,64})$")
_CLOCK_NS = 2_000_000_000  # file systems tell times of last change apart that lie this far from each other


def key_of(folder: Path) -> str | None:
    """The key of the run in a folder, from its recipe.json; None where that is missing or cannot be read."""
    return _text_in_recipe(folder, "key")


def source_of(folder: Path) -> str | None:
    """The digest of the source of a user's own network with which the run in a folder was begun; None without one."""
    return _text_in_recipe(folder, "source")


def recipe_of(folder: Path) -> Recipe | None:
    """The recipe of the run in a folder; None where it is missing or cannot be read."""
    values = _recipe_values(folder)
    with suppress(ConvariumError, TypeError):
        return recipe_from_json({name: value for name, value in values.items() if name not in ("key", "source")})
    return None


def _text_in_recipe(folder: Path, field: str) -> str | None:
    text = _recipe_values(folder).get(field)
    return text if isinstance(text, str) else None


def _recipe_values(folder: Path) -> dict[str, Any]:
    with suppress(OSError, FileContentError):
        values = read_json(folder / RECIPE, RECIPE_BYTES)
        return values if isinstance(values, dict) else {}
    return {}


def digits_in_name(name: str) -> str | None:
    """The first digits of a run's key, with which its folder's name ends; None where it ends otherwise."""
    match = _DIGITS_IN_NAME.search(name)
    return match[1] if match else None


def name_without_digits(name: str) -> str:
    """A run's folder's name without the digits of its key at the end: "digits-lenet-s0"."""
    return _DIGITS_IN_NAME.sub("", name)


def _stem(dataset: str) -> str:
    """With what the names of the folders of a data set's runs begin."""
    return file_name(Path(own_name(dataset)).name, longest=40)


def is_same_recipe(one: Recipe, other: Recipe) -> bool:
    """Whether two recipes of one key agree, as far as it shows without their data and a user's own networks."""
    free = dict.fromkeys(("model", "dataset", "validation"))
    first, second = (
        recipe.to_json() | free | {"start_from": recipe.start_from and split_start(recipe.start_from)[1]}
        for recipe in (one, other)
    )
    if first != second:
        return False
    networks = resolve(one.model), resolve(other.model)
    if any(network.is_custom for network in networks):
        return all(network.is_custom for network in networks)
    return networks[0].key_spec == networks[1].key_spec


class RunFolders:
    """The folders in runs/. Their names are read once while the folder does not change, and while a run is locked.

    Args:
        root: the folder runs/; it need not exist.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._changed_ns: int | None = None
        self._is_held = False
        self._locked: set[str] = set()
        self._digits: dict[str, str | None] = {}  # of every name, so that a new reading looks at new names alone
        self._names: dict[str, list[tuple[str, str]]] = {}

    def of(self, key: str) -> list[Path]:
        """The folders whose names end as that of this run does; which of them holds it, only their recipes say.

        Args:
            key: of the run, or at least its first eight digits.
        """
        if key[:8] not in self._locked:
            self._read_names()
        names = self._names.get(key[:8], ())
        return [self.root / name for digits, name in names if key.startswith(digits) or digits.startswith(key)]

    def beginning(self, digits: str) -> list[Path]:
        """The folders of runs whose keys may begin with these digits, of which there may be fewer than eight."""
        if len(digits) >= 8:
            return self.of(digits)
        self._read_names()
        named = (entry for first, entries in self._names.items() if first.startswith(digits) for entry in entries)
        return [self.root / name for _, name in named]

    def called(self, name: str) -> list[Path]:
        """The folders of runs with this name, by name, as it is without the digits of their keys."""
        return [folder for folder in self.all() if name_without_digits(folder.name) == name]

    def all(self) -> list[Path]:
        """Every folder that is named as a run's, by name; none of those that were set aside."""
        self._read_names()
        return sorted(self.root / name for names in self._names.values() for _, name in names)

    def on(self, dataset: str) -> list[Path]:
        """The folders of runs on a data set, by name, and of those whose names begin like its own."""
        return [folder for folder in self.all() if folder.name.startswith(f"{_stem(dataset)}-")]

    def new(self, recipe: Recipe, key: str) -> Path:
        """A folder for a run that has none: with more digits of the key where the name is taken by another run."""
        stem = f"{_stem(recipe.dataset)}-{file_name(recipe.model)}-s{recipe.seed}"
        for digits in _KEY_DIGITS:
            path = self.root / f"{stem}-{key[:digits]}"
            if not os.path.lexists(path):
                return path
        raise StoreError(f"{path} is taken by another run", hint="move that folder away")

    @contextmanager
    def read_once(self) -> Iterator[None]:
        """Inside, the names are those of now, whatever others do meanwhile, so that 10,000 runs are looked up fast."""
        self._read_names()
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False

    @contextmanager
    def locked(self, keys: Collection[str]) -> Iterator[None]:
        """Inside, which a process enters when it has locked runs, the names of their folders are those of now.

        No other process makes or renames these folders meanwhile; this one says what it changes.

        Args:
            keys: of the runs.
        """
        self._changed_ns = None  # what another process has done until now shows
        self._read_names()
        locked = {key[:8] for key in keys} - self._locked
        self._locked |= locked
        try:
            yield
        finally:
            self._locked -= locked

    def add(self, name: str) -> None:
        """Takes note of a folder that this process has made."""
        self._changed_ns = None
        if name not in self._digits:
            self._add(name)

    def remove(self, name: str) -> None:
        """Takes note of a folder that this process has renamed."""
        self._changed_ns = None
        if name in self._digits:
            self._remove(name)

    def _read_names(self) -> None:
        if self._is_held:
            return
        try:
            changed_ns = self.root.stat().st_mtime_ns
        except FileNotFoundError:
            self._changed_ns, self._digits, self._names = None, {}, {}
            return
        if changed_ns == self._changed_ns:
            return
        names = {name for name in os.listdir(self.root) if not name.startswith(".")}  # noqa: PTH208  (10,000 names)
        for name in self._digits.keys() - names:
            self._remove(name)
        for name in names - self._digits.keys():
            self._add(name)
        # A change within the clock's resolution after this reading would not show in the time of last change.
        self._changed_ns = changed_ns if time.time_ns() - changed_ns > _CLOCK_NS else None

    def _add(self, name: str) -> None:
        digits = self._digits[name] = digits_in_name(name)
        if digits:
            self._names[digits[:8]] = sorted([*self._names.get(digits[:8], ()), (digits, name)], key=itemgetter(1))

    def _remove(self, name: str) -> None:
        digits = self._digits.pop(name)
        if digits:
            self._names[digits[:8]].remove((digits, name))
