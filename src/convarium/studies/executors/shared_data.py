"""Data sets for several processes: written to files once, which each process maps into its memory.

The system keeps one copy of a mapped file for all processes, so that a worker's memory does not grow by its data. Files
are used, and not shared memory, because containers often have 64 MB of that, and CIFAR-10 has 184. Images that lie in a
mapped file already, as those of a large folder do, are not written again.
"""

import errno
import os
import pickle
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from convarium.data.mapped_files import file_of, map_file
from convarium.data.splits import Splits


class _Place(NamedTuple):
    """Where the numbers of a tensor are: the name of a file in the folder, and which of its numbers they are."""

    file: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int


class SharedData:
    """Writes data sets into a folder, each array once however many splits hold it.

    Args:
        folder: an empty one, for the time of the processes that map its files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._written: dict[int, tuple[Splits, str]] = {}
        self._files: dict[tuple[int, int] | Path, str] = {}

    def reference(self, splits: Splits) -> str:
        """A text from which `open_shared` makes the same splits in another process.

        Raises:
            OSError: they cannot be written, as when the disk is full; it names a file or the folder.
        """
        if id(splits) not in self._written:
            path = self.folder / f"splits-{len(self._written)}"
            try:
                with path.open("wb") as file:
                    pickler = _Pickler(file)
                    pickler.place = self._place
                    pickler.dump(splits)
            except OSError as error:
                name = error.filename or str(self.folder)
                raise OSError(error.errno or errno.EIO, error.strerror or str(error), name) from error
            self._written[id(splits)] = splits, str(path)
        return self._written[id(splits)][1]

    def _place(self, tensor: Tensor) -> _Place | None:
        storage = tensor.untyped_storage()
        if not storage.nbytes():
            return None
        memory = storage.data_ptr(), storage.nbytes()
        mapped = file_of(*memory) if tensor.dtype == torch.uint8 else None
        where, begin = (memory, 0) if mapped is None else mapped
        if where not in self._files:
            name = f"array-{len(self._files)}"
            if isinstance(where, Path):
                _link(where, self.folder / name)
            else:
                content = torch.empty(0, dtype=torch.uint8).set_(storage).numpy().data
                with (self.folder / name).open("wb") as file:  # numpy's tofile does not say what the system said
                    file.write(content)
            self._files[where] = name
        offset = begin + int(tensor.storage_offset())
        return _Place(self._files[where], tensor.dtype, tuple(tensor.shape), tensor.stride(), offset)


def _link(file: Path, name: Path) -> None:
    """Gives a file another name, under which it stays if the first is deleted, where the file system can do that."""
    for link in (os.link, os.symlink, shutil.copyfile):
        try:
            link(file, name)
            return
        except OSError:
            if link is shutil.copyfile:
                raise


@cache
def open_shared(reference: str) -> Splits:
    """The splits that `SharedData.reference` wrote, mapped into memory; what is written to them stays in this process.

    Raises:
        OSError: the files are gone.
    """
    path = Path(reference)
    with path.open("rb") as file:
        unpickler = _Unpickler(file)
        unpickler.folder = path.parent
        splits: Splits = unpickler.load()
    return splits


class _Pickler(pickle.Pickler):
    place: Callable[[Tensor], _Place | None]

    def persistent_id(self, value: object) -> _Place | None:
        return self.place(value) if isinstance(value, Tensor) else None


class _Unpickler(pickle.Unpickler):
    folder = Path()

    def persistent_load(self, place: _Place) -> Tensor:
        numbers = torch.from_numpy(map_file(self.folder / place.file)).view(place.dtype)
        return numbers.as_strided(place.shape, place.stride, place.offset)
