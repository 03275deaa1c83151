"""Readers of the publishers' files: IDX (the MNIST family), both versions of CIFAR, and scikit-learn's digits."""

import gzip
import io
import math
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from convarium.errors import DataError

Part = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]
"""Images (n, c, h, w) and labels (n,)."""

Parts = tuple[Part, Part]
"""The publisher's training split and test split."""

DAMAGED = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RecursionError, SyntaxError,
    TypeError, ValueError, pickle.PickleError, struct.error, tarfile.TarError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What readers of binary files raise for content that is not what they expect."""


def as_part(part: Any, what: str) -> Part:
    """Images and labels in the form that tensors are made from: native byte order, and no negative strides.

    Args:
        part: images (n, c, h, w) uint8 and labels (n,) of whole numbers, as arrays of any layout and byte order.
        what: they are, for the message: "training images".

    Raises:
        DataError: they are no such arrays.
    """
    images, labels = part if isinstance(part, (tuple, list)) and len(part) == 2 else (part, None)
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4:
        raise DataError(
            f"the {what} have the wrong form",
            expected="an array of uint8 (n, channels, height, width)",
            received=_form(images),
        )
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise DataError(
            f"the labels of the {what} have the wrong form",
            expected=f"an array of whole numbers ({len(images)},)",
            received=_form(labels),
        )
    return np.ascontiguousarray(images), np.ascontiguousarray(labels, dtype=np.int64)


def _form(value: Any) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def read_idx(files: Sequence[bytes]) -> Parts:
    """Training images, training labels, test images, test labels, each gzipped or not."""
    return read_idx_part(files[:2]), read_idx_part(files[2:])


def read_idx_part(files: Sequence[bytes]) -> Part:
    """Images and labels of one split, each gzipped or not."""
    images, labels = (_idx(gzip.decompress(f) if f[:2] == b"\x1f\x8b" else f) for f in files)
    if images.ndim != 3 or labels.ndim != 1:
        raise DataError(
            "IDX files have other dimensions",
            expected="images (n, height, width) and labels (n,)",
            received=(images.shape, labels.shape),
        )
    return images[:, None], labels.astype(np.int64)


def _idx(raw: bytes) -> npt.NDArray[np.uint8]:
    """One IDX file of unsigned bytes: two zeros, the type 8, the number of dimensions, the dimensions, the values."""
    if len(raw) < 4 or raw[:3] != b"\0\0\x08" or raw[3] > 4:
        raise DataError(
            "this is not an IDX file of bytes", expected="a file that begins with 00 00 08", received=raw[:4]
        )
    header = 4 + 4 * raw[3]
    if len(raw) < header:
        raise DataError("an IDX file is truncated", expected=f"{header} bytes before the values", received=len(raw))
    shape = struct.unpack_from(f">{raw[3]}I", raw, 4)
    values = np.frombuffer(bytearray(raw), np.uint8, offset=header)
    if values.size != math.prod(shape):
        raise DataError("an IDX file is truncated", expected=f"{math.prod(shape)} values", received=values.size)
    return values.reshape(shape)


def read_cifar_pickles(files: Sequence[bytes]) -> Parts:
    """CIFAR's Python version: pickles of `data` (n, 3072) and `labels` or `fine_labels`; the last is the test split."""
    parts = [read_cifar_pickle([f]) for f in files]
    return _joined(parts[:-1]), parts[-1]


def read_cifar_pickle(files: Sequence[bytes]) -> Part:
    """One pickle of CIFAR's Python version."""
    batch = _ArraysOnly(io.BytesIO(files[0]), encoding="bytes").load()
    labels = batch[b"fine_labels"] if b"fine_labels" in batch else batch[b"labels"]
    return batch[b"data"].bytes().reshape(-1, 3, 32, 32), np.array(labels, dtype=np.int64)


class _PickledType:
    """Stands for `numpy.dtype` while a pickle is read, since NumPy's own crashes on a state that it did not write."""

    def __init__(self, name: Any, *_: Any) -> None:
        self.name = name

    def __setstate__(self, _: Any) -> None:
        """The byte order, which a type of one byte has not."""


class _PickledArray:
    """Stands for `numpy.ndarray` while a pickle is read."""

    def __init__(self, *_: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def bytes(self) -> npt.NDArray[np.uint8]:
        """The array, of uint8."""
        _, shape, kind, is_by_columns, content = self.state
        if not isinstance(kind, _PickledType) or kind.name not in ("u1", b"u1") or is_by_columns:
            raise DataError("a data file holds an array that is not of bytes, row by row", hint="delete it")
        return np.frombuffer(content, np.uint8).reshape(shape).copy()  # which may be written to


class _ArraysOnly(pickle._Unpickler):
    """Reads pickles of arrays, lists, numbers and texts; refuses any other class or function that a pickle names.

    It is Python's unpickler in Python: that in C takes memory for as many objects as a damaged pickle numbers.
    """

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Any] = {("multiarray", "_reconstruct"): _PickledArray}
        known |= {("numpy", "ndarray"): _PickledArray, ("numpy", "dtype"): _PickledType}
        known |= {("_codecs", "encode"): _encode}
        try:
            return known[module.removeprefix("numpy._core.").removeprefix("numpy.core."), name]
        except KeyError:
            raise DataError(
                f"a data file asks to run {module}.{name}", hint="it is not the published file: delete it"
            ) from None


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Python 3 pickles bytes for Python 2 as a call of this function."""
    return text.encode(encoding)


def read_cifar_binary(files: Sequence[bytes], *, label_bytes: int = 1) -> Parts:
    """CIFAR's binary version: records of `label_bytes` labels (the last is the fine one) and 3072 pixels."""
    parts = [_cifar_records(f, label_bytes) for f in files]
    return _joined(parts[:-1]), parts[-1]


def _cifar_records(raw: bytes, label_bytes: int) -> Part:
    size = label_bytes + 3072
    if not raw or len(raw) % size:
        raise DataError("a CIFAR file is truncated", expected=f"a multiple of {size} bytes", received=len(raw))
    records = np.frombuffer(raw, np.uint8).reshape(-1, size)
    images = np.ascontiguousarray(records[:, label_bytes:]).reshape(-1, 3, 32, 32)
    return images, records[:, label_bytes - 1].astype(np.int64)


def read_archive(files: Sequence[bytes], *, members: Sequence[str], read: Callable[[Sequence[bytes]], Parts]) -> Parts:
    """A `.tar.gz` as it is downloaded, nothing unpacked to disk: `read` is given its `members`."""
    contents: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(files[0])) as archive:
        for member in archive:  # once from beginning to end, in any order of the members
            stream = archive.extractfile(member)
            if stream is not None:
                contents[member.name.rpartition("/")[2]] = stream.read()
    return read([contents[name] for name in members])


def read_digits(_: Sequence[bytes] = ()) -> Parts:
    """The 1,797 digits of 8×8 pixels and 17 gray levels inside scikit-learn, enlarged to 28×28.

    Enlarged bilinearly, with pixel centres at (i + ½) · 8 / 28, in whole numbers, so that every machine gets the same
    bytes. The last 360 of a fixed permutation are the test split.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    small = bunch.images.astype(np.int64)  # (n, 8, 8), 0 to 16
    weights = _enlarging(8, 28)
    scale = int(weights[0].sum()) ** 2 * 16
    large = (weights @ small @ weights.T * 255 * 2 + scale) // (2 * scale)
    order = np.random.default_rng(0).permutation(len(large))
    images, labels = large.astype(np.uint8)[order, None], bunch.target.astype(np.int64)[order]
    return (images[:-360], labels[:-360]), (images[-360:], labels[-360:])


def _enlarging(small: int, large: int) -> npt.NDArray[np.int64]:
    """(large, small): bilinear weights in units of 1 / (2 · large)."""
    weights = np.zeros((large, small), dtype=np.int64)
    for i in range(large):
        left, share = divmod((2 * i + 1) * small - large, 2 * large)
        weights[i, max(left, 0)] += 2 * large - share
        weights[i, min(left + 1, small - 1)] += share
    return weights


def _joined(parts: Sequence[Part]) -> Part:
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])
