"""Hostile weights files: each is refused in one sentence, or read as tensors; none runs code or takes much memory."""

import builtins
import importlib
import io
import json
import math
import os
import pickle
import random
import shutil
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from processes import in_a_process
from readers import answer, folder
from safetensors.torch import save

from convarium.errors import WeightsError
from convarium.models.build import build_model
from convarium.models.weight_files import read_weight_file
from convarium.models.weights import load_weights
from convarium.records import ImageSpec

DIGITS = ImageSpec(1, 28, 28, 10)
Made = tuple[str, str, Callable[[Path], object]]
"""A kind of file, its ending, and what writes it."""


def check(count: int) -> dict[str, Any]:
    """Reads all hostile files, and damaged ones until there are `count` or more."""
    marker, kinds, broken = folder() / "code-has-run", dict[str, int](), list[str]()
    outcomes = {"refused": 0, "read as tensors": 0}
    for number, (kind, ending, write) in enumerate([*hostile_files(marker), *damaged_files(count)]):
        path = folder() / f"hostile-{number}{ending}"
        write(path)
        report = in_a_process(partial(_read, path))
        broken += [f"{kind} ({number}): {text}" for text in report["broken"]]
        if marker.exists():
            broken.append(f"{kind} ({number}): its code has run")
            shutil.rmtree(marker) if marker.is_dir() else marker.unlink()
        kinds[kind] = kinds.get(kind, 0) + 1
        outcomes["read as tensors" if report.get("read") else "refused"] += 1
        path.unlink(missing_ok=True)
    return {"files": sum(kinds.values()), "kinds": kinds, **outcomes, "broken": broken}


def _read(path: Path) -> dict[str, Any]:
    try:
        read = answer(lambda: read_weight_file(path), WeightsError)
        answer(lambda: load_weights(path, "lenet", DIGITS), WeightsError)
    except BaseException as error:
        return {"broken": [f"{type(error).__name__}: {str(error)[:500]}"]}
    is_sound = read is None or all(
        isinstance(tensor, torch.Tensor) for tensors in read.state_dicts.values() for tensor in tensors.values()
    )
    return {"read": read is not None, "broken": [] if is_sound else ["it was read as something else than tensors"]}


class Call:
    """A pickle that calls a function when it is loaded the ordinary way."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.arguments


def hostile_files(marker: Path) -> Iterator[Made]:
    """Pickles that name code in every place and format, archives that are bombs or lie, headers that lie."""
    state = {name: value.clone() for name, value in build_model("lenet", DIGITS).state_dict().items()}
    calls = [
        Call(os.system, f"touch {marker}"),
        Call(os.mkdir, str(marker)),
        Call(subprocess.check_call, ["touch", str(marker)]),
        Call(subprocess.Popen, ["touch", str(marker)]),
        Call(builtins.eval, f"__import__('os').mkdir({str(marker)!r})"),
        Call(builtins.exec, f"open({str(marker)!r}, 'w')"),
        Call(builtins.open, str(marker), "w"),
        Call(builtins.getattr, Call(importlib.import_module, "os"), "system"),
        Call(torch.hub.load_state_dict_from_url, "http://127.0.0.1:9/x"),
        Call(shutil.copy, __file__, str(marker)),
    ]
    places: dict[str, Callable[[Call], Any]] = {
        "alone": lambda call: call,
        "among the weights": lambda call: {**state, "x": call},
        "as a name": lambda call: {"state_dict": state, "hyper_parameters": {"x": [call]}},
    }
    for call in calls:
        for place in places.values():
            yield from _saved("a pickle that calls a function", place(call))
        yield "a bare pickle", ".pth", lambda path, call=call: path.write_bytes(pickle.dumps(call))
        yield (
            "a bare pickle under another ending",
            ".safetensors",
            lambda path, call=call: path.write_bytes(pickle.dumps(call)),
        )
    yield "a whole network", ".pt", lambda path: torch.save(build_model("lenet", DIGITS), path)
    for instructions in (
        b"cposix\nsystem\n(S'true'\ntR.",
        b"(" * 200_000 + b".",
        b"]" * 10**6 + b".",
        b"\x80\x05" + b"K\x01" * 10**6 + b".",
    ):
        yield "written by hand", ".pt", lambda path, content=instructions: path.write_bytes(content)
    for index in (2**20, 2**31 - 1, 2**32 - 1):  # of a memo, for which the C unpickler takes memory
        content = b"\x80\x02}r" + struct.pack("<I", index) + b"."
        yield "a pickle with a large memo", ".pt", lambda path, content=content: path.write_bytes(content)
    for size in (2**31, 2**40, 2**63):
        content = b"\x80\x04\x8e" + struct.pack("<Q", size) + b"x."
        yield "a pickle with a long text", ".pt", lambda path, content=content: path.write_bytes(content)
    yield from _archives(state)
    yield from _headers()


def _archives(state: dict[str, torch.Tensor]) -> Iterator[Made]:
    written = io.BytesIO()
    torch.save(state, written)
    parts = {info.filename: zipfile.ZipFile(written).read(info) for info in zipfile.ZipFile(written).infolist()}

    def changed(change: Callable[[dict[str, bytes]], dict[str, bytes]], **options: Any) -> Callable[[Path], object]:
        def write(path: Path) -> None:
            with zipfile.ZipFile(path, "w", **options) as archive:
                for name, content in change(dict(parts)).items():
                    archive.writestr(name, content)

        return write

    compressed = {"compression": zipfile.ZIP_DEFLATED}
    first = next(name for name in parts if "/data/" in name)
    pickled = next(name for name in parts if name.endswith("data.pkl"))
    yield "a bomb", ".pt", changed(lambda p: p | {first: bytes(2**29)}, **compressed)
    yield "a bomb", ".pt", changed(lambda p: p | {pickled: bytes(2**29)}, **compressed)
    yield "a bomb", ".ckpt", changed(lambda p: p | {"archive/other": bytes(2**29)}, **compressed)
    yield "a part is missing", ".pt", changed(lambda p: {n: c for n, c in p.items() if n != first})
    yield "a part is missing", ".pt", changed(lambda p: {n: c for n, c in p.items() if n != pickled})
    yield "a part is short", ".pt", changed(lambda p: p | {first: p[first][:3]})
    yield "a part of another folder", ".pt", changed(lambda p: p | {"../../outside": b"x"})
    yield "a part of another folder", ".pt", changed(lambda p: p | {"/tmp/outside": b"x"})
    yield (
        "a TorchScript program",
        ".pt",
        changed(lambda p: p | {"archive/code/__torch__.py": b"x", "archive/constants.pkl": b"x"}),
    )
    yield "an archive of nothing", ".pt", changed(lambda p: {})
    yield "an archive of numpy", ".pt", lambda path: np.savez(path.open("wb"), a=[1.0])

    def tar(path: Path) -> None:
        with tarfile.open(path, "w") as archive:
            for name in ("storages", "tensors", "pickle"):
                info = tarfile.TarInfo(name)
                info.size = 9
                archive.addfile(info, io.BytesIO(b"cos\nx\n(.."))

    yield "an archive of PyTorch 0.1", ".pt", tar
    odd: list[Any] = [
        [], {}, 1, "text", None, {"a": 1}, {1: torch.zeros(1)}, {"a": {"b": {"c": torch.zeros(1)}}},
        {"state_dict": []}, {"state_dict": {"a": "b"}}, torch.zeros(3), [torch.zeros(3)],
        {"w": torch.zeros(1).expand(10**9)}, {"w": torch.zeros(3).to_sparse()}, {"w": torch.zeros(3) * 1j},
        {"w": torch.empty(3, device="meta")}, {"w": torch.full((3,), math.nan)},
        {"\x1b[31m" + "x" * 10_000: torch.zeros(1)},
    ]  # fmt: skip
    for content in odd:
        yield from _saved("something else than weights", content)


def _saved(kind: str, content: Any) -> Iterator[Made]:
    """What PyTorch writes, in its new format and in its old one."""
    for zipped in (True, False):
        yield kind, ".pt", partial(torch.save, content, _use_new_zipfile_serialization=zipped)


def _headers() -> Iterator[Made]:
    def entry(**changes: Any) -> dict[str, Any]:
        return {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} | changes}

    headers: list[Any] = [
        entry(shape=[10**9]), entry(shape=[2**62, 4]), entry(shape=[-4]), entry(shape=[]), entry(shape="4"),
        entry(dtype="F1024"), entry(dtype=None), entry(data_offsets=[16, 0]), entry(data_offsets=[0, 2**60]),
        entry(data_offsets=[-16, 0]), entry(data_offsets=[0]), entry(data_offsets=[0, 16, 32]),
        entry() | {"b": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}},
        entry() | {"b": {"dtype": "F32", "shape": [4], "data_offsets": [1000, 1016]}},
        entry() | {"__metadata__": {"a": 1}}, entry() | {"__metadata__": []}, [], {}, 1, None, "text",
        {f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(50_000)},
        {"a": {"dtype": "F32", "shape": [1] * 5000, "data_offsets": [0, 4]}},
        {"\u0000\u001b]0;x\u0007" * 100: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}},
    ]  # fmt: skip
    for header in headers:
        text = json.dumps(header).encode()
        yield (
            "a header that lies",
            ".safetensors",
            lambda path, text=text: path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(16)),
        )
    for size in (0, 1, 7, 10**8, 10**9, 2**32, 2**63, 2**64 - 1):
        yield (
            "a header whose length lies",
            ".safetensors",
            lambda path, size=size: path.write_bytes(struct.pack("<Q", size) + b"{}" + bytes(16)),
        )
    for text in (b"[" * 100_000, b'{"a":' * 100_000, b"\xff" * 100, b'{"a":1,"a":2}', b"9" * 10_000):
        yield (
            "a header that is no JSON",
            ".safetensors",
            lambda path, text=text: path.write_bytes(struct.pack("<Q", len(text)) + text),
        )


def damaged_files(count: int) -> Iterator[Made]:
    """Sound files of each format, cut off or with changed bytes at random places."""
    state = {name: value.clone() for name, value in build_model("lenet", DIGITS).state_dict().items()}
    good: dict[str, bytes] = {".safetensors": save(state)}
    for ending, zipped in ((".pt", True), (".pth", False)):
        written = io.BytesIO()
        torch.save(state, written, _use_new_zipfile_serialization=zipped)
        good[ending] = written.getvalue()
    draw = random.Random(0)
    for number in range(count):
        ending = draw.choice(sorted(good))
        content = bytearray(good[ending])
        if number % 2:
            content = content[: draw.randrange(len(content))]
        else:
            for _ in range(draw.randint(1, 8)):
                content[draw.choice([draw.randrange(len(content)), draw.randrange(2000)])] = draw.randrange(256)
        yield "damaged at random", ending, lambda path, content=bytes(content): path.write_bytes(content)
