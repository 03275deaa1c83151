"""Files that are mapped into memory: the system reads them as far as they are used, and keeps one copy for all."""

import mmap
import os
import sys
import weakref
from pathlib import Path

import numpy as np
import numpy.typing as npt

_MAP_NORESERVE = 0x4000
"""Linux's flag of mmap by which it sets no memory aside; Python names it from 3.13 on."""

_mapped: dict[int, tuple[Path, os.stat_result]] = {}  # the files that are mapped now, by their addresses


def map_file(path: Path) -> npt.NDArray[np.uint8]:
    """The bytes of a file. What is written into the array stays in this process.

    Raises:
        OSError: it cannot be mapped.
        ValueError: it is empty.
    """
    with path.open("rb") as file:
        if sys.platform == "win32":
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        else:
            # Otherwise Linux counts all of it as memory that might be written to, and refuses more than there is.
            flags = mmap.MAP_PRIVATE | (_MAP_NORESERVE if sys.platform == "linux" else 0)
            mapped = mmap.mmap(file.fileno(), 0, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        found = os.fstat(file.fileno())
    numbers = np.frombuffer(mapped, np.uint8)
    address = numbers.ctypes.data
    _mapped[address] = path.absolute(), found
    weakref.finalize(mapped, _mapped.pop, address)
    return numbers


def file_of(address: int, length: int) -> tuple[Path, int] | None:
    """The mapped file in which a piece of memory lies, and where it begins there; None if it lies in none, or in one
    that has been deleted or replaced since.

    Args:
        address: of the piece.
        length: of the piece, in bytes.
    """
    for begin, (path, found) in _mapped.items():
        if begin <= address and address + length <= begin + found.st_size:
            try:
                return (path, address - begin) if os.path.samestat(path.stat(), found) else None
            except OSError:
                return None
    return None
