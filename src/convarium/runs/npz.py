"""Arrays from npz files: no more is read than the arrays should have, and nothing is unpickled."""

import math
import zipfile
import zlib
from collections.abc import Mapping
from io import BytesIO
from typing import IO

import numpy as np

_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, OSError)


def write_arrays(file: IO[bytes], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays into an open file."""
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read_arrays(content: bytes, shapes: Mapping[str, tuple[int, ...]]) -> tuple[np.ndarray, ...]:
    """The arrays of these names from the content of an npz file.

    Args:
        content: of the file.
        shapes: the shape of each array.

    Raises:
        ValueError: an array is missing, damaged, of another shape, or not of real numbers.
    """
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            arrays = []
            for name, shape in shapes.items():
                with archive.open(f"{name}.npy") as file:
                    arrays.append(_read_array(file, name, shape))
            return tuple(arrays)
    except _DAMAGE as error:
        raise ValueError(f"it is not an npz file with {' and '.join(shapes)}") from error


def _read_array(file: IO[bytes], name: str, expected: tuple[int, ...]) -> np.ndarray:
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read_header(file)
    if shape != expected or dtype.kind not in "fiu":
        raise ValueError(f"{name} is of shape {shape} and type {dtype}, not of shape {expected} and numbers")
    size = math.prod(shape) * dtype.itemsize
    data = file.read(size)
    if len(data) != size:
        raise ValueError(f"{name} is cut off")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if is_fortran else "C").copy()
