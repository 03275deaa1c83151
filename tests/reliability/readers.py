"""Hostile and damaged input for every reader: `check_<reader>(data)` draws one, reads it, and checks what comes back.

A reader answers with a value or with the error that it documents, within two seconds of processor time and 256 MiB.
`test_readers.py` runs a few hundred inputs in `make test`; a longer run with random seeds takes the same functions.
"""

import dataclasses
import hashlib
import io
import json
import math
import resource
import shutil
import struct
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save

from convarium.data import load_data
from convarium.data import readers as data_readers
from convarium.data.readers import DAMAGED, as_part
from convarium.data.transforms import parse_augment, parse_normalize
from convarium.disk import parse_json, read_json
from convarium.errors import ConvariumError, DataError, FileContentError, SpecError, StoreError, WeightsError
from convarium.kernels.cache import read_failure, read_library, write_failure, write_library
from convarium.models.build import build_model
from convarium.models.weight_files import read_weight_file
from convarium.models.weights import load_weights
from convarium.recipes.recipe import Recipe, recipe_from_json
from convarium.recipes.schedules import parse_schedule, rate_factor
from convarium.records import ImageSpec
from convarium.runs.archive import add_records, read_records
from convarium.runs.seal import SEAL
from convarium.runs.store import Store, StudyRecord
from convarium.runs.study_record import read_study
from convarium.spec import parse, parse_list, parse_options
from convarium.training import fit
from convarium.training.checkpoint import content_digest, load_checkpoint, save_checkpoint
from convarium.training.loop import make_step, train
from convarium.training.trainer import Trainer, prepare_run
from seals import mend_seal
from small_networks import few

SECONDS = 2.0
BYTES = 256 * 2**20

Data = Any
"""What `@given(strategies.data())` gives: `data.draw(strategy)` draws a value."""


@contextmanager
def bounded(limit_bytes: int = BYTES) -> Iterator[None]:
    """Checks that what is inside takes at most SECONDS of processor time and at most so much more memory than before.

    The memory counts only beyond the highest level that the process has had.
    """
    peak, start = _peak_bytes(), time.process_time()
    yield
    seconds, grown = time.process_time() - start, _peak_bytes() - peak
    assert seconds < SECONDS, f"{seconds:.1f} s"
    assert grown < limit_bytes, f"{grown / 2**20:.0f} MiB"


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def answer(
    read: Callable[[], Any],
    error: type[Exception] | tuple[type[Exception], ...] = ConvariumError,
    *,
    limit_bytes: int = BYTES,
) -> Any:
    """What a reader answers; None where it raises the error that it documents, which is one short sentence."""
    message = ""
    with bounded(limit_bytes):
        try:
            return read()
        except error as refused:
            message = str(refused) if isinstance(refused, ConvariumError) else ""
    assert "\n" not in message
    assert len(message) < 3000
    return None


# Input

hostile_texts = st.one_of(
    st.text(max_size=60),
    st.text("()[]{},=-+'\"@:.* \\0123456789abex_", max_size=60),
    st.sampled_from(
        ["-", "(", "[", "{1:", "not ", "1,", "'a'", "9", "a(", "1 if 1 else ", "\0", "\ud800", " "]
    ).flatmap(lambda part: st.sampled_from([1, 50, 300, 2000, 10**6]).map(lambda n: "lenet(x=" + part * n + ")")),
)

json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from([0, -1, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308, math.nan, math.inf, "", "x" * 5000]),
        st.floats(),
        st.text(max_size=10),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=8,
)

_ABSURD_TEXTS = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b"0",
    b'"text"',
    b"[" * 200_000,
    b'{"a":' * 100_000,
    b"9" * 10_000,
    b"\xff\xfe",
    b"\0" * 100,
    b"NaN",
)


def mutated(data: Data, good: bytes) -> bytes:
    """Bytes that were good: a few of them changed, cut off, doubled or put in; or something else altogether."""
    content = bytearray(good)
    kind = data.draw(st.sampled_from(["bytes", "bytes", "cut", "insert", "double", "other", "arbitrary"]))
    if kind == "other":
        return data.draw(st.sampled_from(_ABSURD_TEXTS))
    if kind == "arbitrary":
        return data.draw(st.binary(max_size=200))
    place = data.draw(st.integers(0, max(0, len(content) - 1)))
    if kind == "cut":
        return bytes(content[:place])
    if kind == "insert":
        return bytes(content[:place] + data.draw(st.binary(min_size=1, max_size=9)) + content[place:])
    if kind == "double":
        return bytes(content[:place] + content[place // 2 :])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.one_of(st.integers(0, len(content) - 1), st.integers(0, min(300, len(content) - 1))))
        content[place] = data.draw(st.one_of(st.integers(0, 255), st.sampled_from(b'0919-.{}[]",: \0\xff')))
    return bytes(content)


def mutated_values(data: Data, values: Any) -> Any:
    """JSON that was good: at one place of it another value, one key fewer or one more."""
    values = json.loads(json.dumps(values))
    if not isinstance(values, (dict, list)) or not values:
        return data.draw(json_values)
    place = values
    for _ in range(data.draw(st.integers(0, 4))):
        inner = list(place.values()) if isinstance(place, dict) else place
        inner = [value for value in inner if isinstance(value, (dict, list)) and value]
        if not inner:
            break
        place = data.draw(st.sampled_from(inner))
    index = data.draw(st.sampled_from(sorted(place))) if isinstance(place, dict) else len(place) - 1
    match data.draw(st.sampled_from(["replace", "replace", "delete", "add"])):
        case "replace":
            place[index] = data.draw(json_values)
        case "delete":
            del place[index]
        case "add" if isinstance(place, dict):
            place[data.draw(st.text(max_size=8))] = data.draw(json_values)
        case _:
            place.append(data.draw(json_values))
    return values


@cache
def folder() -> Path:
    """A folder of this process, removed at its end."""
    made = tempfile.TemporaryDirectory(prefix="convarium-readers-")
    _kept.append(made)
    return Path(made.name)


_kept: list[tempfile.TemporaryDirectory[str]] = []


# Texts and JSON


def check_spec(data: Data) -> None:
    """`parse`, `parse_list` and `parse_options`; what is read is written and read back."""
    text = data.draw(hostile_texts)
    for read in (parse, parse_list, parse_options):
        answer(lambda read=read: read(text), SpecError)
    spec = answer(lambda: parse(text), SpecError)
    assert spec is None or parse(str(spec)) == spec


def check_schedule(data: Data) -> None:
    """`parse_schedule`; the factors of one that is read are finite."""
    numbers = st.one_of(
        st.integers(), st.floats(), st.sampled_from([0, 1e-320, 10**400, "a", None, True, [], [1], [-1]])
    )
    name = data.draw(st.sampled_from(["steps", "cosine", "one_cycle", "constant"]))
    option = data.draw(st.sampled_from(["milestones", "gamma", "rise", ""]))
    given = f"{option}={data.draw(numbers)!r}" if option else repr(data.draw(numbers))
    text = data.draw(st.one_of(hostile_texts, st.just(f"{name}({given})"), st.just(f"steps(milestones=[3], {given})")))
    schedule = answer(lambda: parse_schedule(text), SpecError)
    if schedule is not None:
        steps, epochs = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
        for step in range(steps * epochs):
            factor = rate_factor(schedule, step, steps_per_epoch=steps, epochs=epochs, warmup=epochs // 2)
            assert 0 <= factor <= 1 + 1e-9


def check_augment(data: Data) -> None:
    """`parse_augment`."""
    value = data.draw(json_values)
    name = data.draw(st.sampled_from(["flip", "pad_crop", "resized_crop", "resized_crop(scale=(0.1, 1)), pad_crop"]))
    answer(lambda: parse_augment(data.draw(st.one_of(hostile_texts, st.just(f"flip, {name}({value!r})")))), SpecError)


def check_normalize(data: Data) -> None:
    """`parse_normalize`; what is read is finite, with deviations above 0."""
    mean, std = data.draw(json_values), data.draw(json_values)
    text = data.draw(st.one_of(hostile_texts, st.just(f"mean={mean!r}, std={std!r}"), st.just("mean=1, std=1e-320")))
    read = answer(lambda: parse_normalize(text), SpecError)
    if read is not None:
        assert all(map(math.isfinite, (*read[0], *read[1])))
        assert min(read[1]) > 0


def check_recipe(data: Data) -> None:
    """`recipe_from_json` on any value; a recipe that is read is written and read back, and has a key."""
    values = data.draw(st.one_of(json_values, st.just(Recipe().to_json())))
    if isinstance(values, dict) and values.keys() >= Recipe().to_json().keys():
        values = mutated_values(data, values)
    recipe = answer(lambda: recipe_from_json(values))
    if recipe is not None:
        assert recipe_from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
        with suppress(ConvariumError):  # images of one's own have no digest before they are read
            assert len(recipe.key("0" * 64)) == 64


def check_json(data: Data) -> None:
    """`parse_json` and `read_json`."""
    content = mutated(data, json.dumps({"a": [1, 2.5, None, "text"], "b": {"c": True}}).encode())
    path = folder() / "value.json"
    path.write_bytes(content)
    answer(lambda: read_json(path, 2**20), FileContentError)
    text = data.draw(st.text(max_size=50))
    answer(lambda: parse_json(text, "the text"), FileContentError)


# Records


@cache
def stored_run() -> Path:
    """The folder of a sound run: two epochs on a few digits."""
    splits, recipe = few(64), Recipe(epochs=2, batch_size=32, watch_test=True)
    store = Store(folder() / "sound")
    path = store.begin(recipe, recipe.key(splits.digest))
    return store.finish(path, fit(recipe, splits, device="cpu")).path


def _copied_run(name: str) -> Path:
    root = folder() / name
    shutil.rmtree(root, ignore_errors=True)
    return Path(shutil.copytree(stored_run(), root / "runs" / stored_run().name))


def _read_everything(path: Path) -> None:
    run = answer(lambda: Store(path.parent.parent).run(path.name), StoreError)
    for read in ("predictions", "steps", "predicted", "network", "weights"):
        if run is not None:
            answer(getattr(run, read), StoreError)


def _files(path: Path) -> list[str]:
    return sorted(file.name for file in path.iterdir() if not file.name.startswith("events"))


def check_run(data: Data) -> None:
    """A stored run of which one file has other bytes: whatever is read of it is sound, or refused as damaged."""
    path = _copied_run("damaged")
    file = path / data.draw(st.sampled_from(_files(path)))
    file.write_bytes(mutated(data, file.read_bytes()))
    _read_everything(path)


def check_mended_run(data: Data) -> None:
    """A stored run of which one file is another, under a seal with the digests that its files and itself now have."""
    path = _copied_run("mended")
    name = data.draw(st.sampled_from(_files(path)))
    file = path / name
    if name == SEAL:
        with suppress(ValueError):  # a number that JSON has not
            mend_seal(path, lambda values: _exchange(values, mutated_values(data, values)))
    elif file.suffix in (".json", ".jsonl") and data.draw(st.booleans()):
        lines = file.read_text("utf-8").splitlines() if file.suffix == ".jsonl" else [file.read_text("utf-8")]
        row = data.draw(st.integers(0, len(lines) - 1))
        lines[row] = json.dumps(mutated_values(data, json.loads(lines[row])))
        file.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        mend_seal(path)
    else:
        file.write_bytes(mutated(data, file.read_bytes()))
        mend_seal(path)
    _read_everything(path)


def _exchange(values: dict[str, Any], others: Any) -> None:
    values.clear()
    values.update(others)


def check_study(data: Data) -> None:
    """`study.json`, as other bytes and as other values."""
    record = StudyRecord("s", "?", "model", "lenet", Recipe().to_json(), ("0" * 64, "1" * 64), 2, stacks=(("0" * 64,),))
    values = dataclasses.asdict(record)
    path = folder() / "store" / "studies" / "s" / "study.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    if data.draw(st.booleans()):
        path.write_bytes(mutated(data, json.dumps(values).encode()))
    else:
        path.write_text(json.dumps(mutated_values(data, values)))
    store = Store(folder() / "store")
    answer(lambda: read_study(path), StoreError)
    study = answer(lambda: store.find_study("s"), StoreError)
    if study is not None:
        answer(lambda: (store.runs_of(study), store.study_names()), StoreError)


@cache
def _records_file() -> bytes:
    path = folder() / "records" / "good.jsonl"
    run = Store(stored_run().parent.parent).run(stored_run().name)
    add_records(path, [run])
    return path.read_bytes()


def check_records(data: Data) -> None:
    """A records file, as other bytes and as other values."""
    path = folder() / "records" / "runs.jsonl"
    good = _records_file()
    if data.draw(st.booleans()):
        path.write_bytes(mutated(data, good))
    else:
        values = json.loads(good)
        del values["digest"]
        values = mutated_values(data, values)
        with suppress(ValueError, TypeError):  # a number that JSON has not, and what is no table
            text = json.dumps(values, sort_keys=True, ensure_ascii=False, allow_nan=False)
            values["digest"] = hashlib.sha256(text.encode()).hexdigest()
        path.write_text(json.dumps(values) + "\n")
    answer(lambda: read_records(path), StoreError)


# Tensors and arrays


@cache
def _weights() -> dict[str, bytes]:
    tensors = {
        name: value.clone() for name, value in build_model("lenet", ImageSpec(1, 28, 28, 10)).state_dict().items()
    }
    pickled = io.BytesIO()
    torch.save(tensors, pickled)
    return {".safetensors": save(tensors), ".pt": pickled.getvalue()}


def check_weights(data: Data) -> None:
    """Weights files of both kinds, also those whose header claims more than the file holds."""
    ending = data.draw(st.sampled_from([".safetensors", ".pt"]))
    content = mutated(data, _weights()[ending])
    if ending == ".safetensors" and data.draw(st.booleans()):
        size = data.draw(st.sampled_from([0, 1, 10**6, 2**32, 2**63, 2**64 - 1]))
        shape = data.draw(st.lists(st.sampled_from([0, 1, 10**6, 2**40, -1]), max_size=3))
        header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, size % 2**63]}}).encode()
        content = struct.pack("<Q", data.draw(st.sampled_from([len(header), size]))) + header + b"\0" * 64
    path = folder() / f"weights{ending}"
    path.write_bytes(content)
    answer(lambda: read_weight_file(path), WeightsError)
    answer(lambda: load_weights(path, "lenet", ImageSpec(1, 28, 28, 10)), WeightsError)


@cache
def _trainer() -> tuple[Trainer, bytes, dict[str, torch.Tensor]]:
    recipe = Recipe(epochs=2, batch_size=32, momentum=0.9)
    trainer = prepare_run(recipe, few(64), torch.device("cpu"))
    train(trainer, make_step(trainer.network, trainer.optimizers[0], recipe, trainer.generators))
    path = folder() / "good.ckpt"
    save_checkpoint(path, trainer)
    return trainer, path.read_bytes(), {name: v.clone() for name, v in trainer.runs[0].network.state_dict().items()}


def check_checkpoint(data: Data) -> None:
    """A checkpoint with other bytes is no error; if the run goes on from it, its weights are those that were saved."""
    trainer, good, weights = _trainer()
    path = folder() / "last.ckpt"
    path.write_bytes(mutated(data, good))
    with bounded():
        resumed = load_checkpoint(path, trainer).resumed
    if resumed:
        assert all(value.equal(weights[name]) for name, value in trainer.runs[0].network.state_dict().items())


def check_mended_checkpoint(data: Data) -> None:
    """A checkpoint with another text or tensor and the digest that belongs to it is no error."""
    trainer, good, _ = _trainer()
    source, path = folder() / "good.ckpt", folder() / "mended.ckpt"
    source.write_bytes(good)
    with safe_open(source, "pt") as file:
        texts, tensors = dict(file.metadata()), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del texts["digest"]
    if data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(texts)))
        with suppress(ValueError):
            texts[name] = json.dumps(mutated_values(data, json.loads(texts[name])))
        if data.draw(st.booleans()):
            texts[name] = data.draw(st.one_of(st.text(st.characters(codec="utf-8"), max_size=20), st.just("[" * 10**5)))
    else:
        name = data.draw(st.sampled_from(sorted(tensors)))
        shape = data.draw(st.lists(st.integers(0, 3), max_size=3))
        kind = data.draw(st.sampled_from([torch.float32, torch.int64, torch.uint8, torch.bool, torch.float64]))
        tensors[name] = torch.full(
            shape, data.draw(st.sampled_from([0.0, -1.0, math.nan, 1e300])), dtype=torch.float64
        ).to(kind)
    texts["digest"] = content_digest(tensors, texts)
    path.write_bytes(save(tensors, texts))
    with bounded():
        assert isinstance(load_checkpoint(path, trainer).resumed, bool)


def npz(headers: dict[str, bytes]) -> bytes:
    """An npz file whose members begin with these headers and hold a few zeros."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, header in headers.items():
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 64)
    return written.getvalue()


def check_arrays(data: Data) -> None:
    """Npz files that claim any shape and type, pickled objects among them, in the place of a run's predictions."""
    path = _copied_run("arrays")
    name = data.draw(st.sampled_from(["predictions.npz", "steps.npz"]))
    shape = tuple(data.draw(st.lists(st.sampled_from([0, 1, 2, 30, 10**6, 10**12, 2**63, -1]), max_size=3)))
    dtype = data.draw(st.sampled_from(["<f4", "<f8", "<i8", "|O", "|V8", "<U3", "<c8", "nonsense"]))
    header = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode() + b"\n"
    names = data.draw(st.sampled_from([("logits", "labels"), ("loss", "accuracy"), ()]))
    (path / name).write_bytes(npz(dict.fromkeys(names, header)))
    mend_seal(path)
    _read_everything(path)


def check_unpacked_arrays(data: Data) -> None:
    """Npz files of kilobytes that unpack to any size."""
    path = _copied_run("unpacked")
    size = data.draw(st.sampled_from([10**3, 10**6, 10**8]))
    with zipfile.ZipFile(path / "steps.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("loss", "accuracy"):
            header = repr({"descr": "<f4", "fortran_order": False, "shape": (size // 4,)}).encode() + b"\n"
            start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
            with archive.open(f"{name}.npy", "w") as member:
                member.write(start)
                for _ in range(size // 10**3):
                    member.write(bytes(10**3))
    mend_seal(path)
    _read_everything(path)


# Data sets


def check_idx(data: Data) -> None:
    """IDX files of the MNIST family; their digests are compared before, and what they raise becomes a DataError."""
    images = b"\0\0\x08\x03" + struct.pack(">3I", 2, 4, 4) + bytes(32)
    labels = b"\0\0\x08\x01" + struct.pack(">I", 2) + bytes(2)
    if data.draw(st.booleans()):
        shape = data.draw(st.lists(st.sampled_from([0, 1, 2**16, 2**31, 2**32 - 1]), min_size=3, max_size=3))
        images = b"\0\0\x08" + bytes([data.draw(st.integers(0, 255))]) + struct.pack(">3I", *shape) + bytes(32)
    read = data_readers.read_idx_part
    answer(lambda: as_part(read([mutated(data, images), mutated(data, labels)]), "images"), (DataError, *DAMAGED))


@cache
def _cifar_pickle() -> bytes:
    import pickle

    return pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 1]}, protocol=2)


def check_cifar(data: Data) -> None:
    """Both versions of CIFAR's files."""
    one, two = mutated(data, _cifar_pickle()), mutated(data, bytes(2 * 3073))
    answer(lambda: as_part(data_readers.read_cifar_pickle([one]), "images"), (DataError, *DAMAGED))
    answer(lambda: as_part(data_readers.read_cifar_binary([two] * 2)[1], "images"), (DataError, *DAMAGED))


@cache
def _images() -> dict[str, bytes]:
    image, written = Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)), {}
    for kind in ("png", "jpeg", "bmp", "gif", "webp", "tiff"):
        file = io.BytesIO()
        image.save(file, kind)
        written[kind] = file.getvalue()
    return written


@cache
def _image_folder() -> Path:
    made = folder() / "pictures"
    for label in ("cat", "dog"):
        (made / label).mkdir(parents=True)
        for number in range(5):
            (made / label / f"{number}.png").write_bytes(_images()["png"])
    return made


def check_images(data: Data) -> None:
    """A folder of images of which one is an image file of any kind with other bytes, or is no image.

    An image's header may name as many pixels as Pillow decodes at all, with 4 bytes each; one such image is decoded at
    a time.
    """
    kind = data.draw(st.sampled_from(sorted(_images())))
    path = _image_folder() / "cat" / f"odd.{kind}"
    path.write_bytes(mutated(data, _images()[kind]))
    limit = 4 * 2 * (Image.MAX_IMAGE_PIXELS or 0) + BYTES
    read = answer(lambda: load_data(f"folder:{_image_folder()}", resize=8), DataError, limit_bytes=limit)
    path.unlink()
    assert read is None or len(read.train) >= 6


@cache
def _own_files() -> dict[str, bytes]:
    """An npz file of images, a CSV file of pixels and one of paths."""
    images, labels = np.arange(20 * 16, dtype=np.uint8).reshape(20, 4, 4), np.arange(20) % 2
    packed = io.BytesIO()
    np.savez_compressed(packed, x_train=images, y_train=labels)
    columns = ",".join(["label", *(f"pixel{number}" for number in range(16))])
    rows = [",".join(map(str, (label, *image.ravel()))) for image, label in zip(images, labels, strict=True)]
    paths = [f"{path.relative_to(folder())},{path.parent.name}" for path in sorted(_image_folder().glob("*/?.png"))]
    return {
        "npz": packed.getvalue(),
        "csv": "\n".join([columns, *rows]).encode(),
        "paths": "\n".join(["path,label", *paths]).encode(),
    }


def check_own_files(data: Data) -> None:
    """Data sets of one's own in npz and CSV files, with other bytes or with headers that claim any shape and type."""
    name = data.draw(st.sampled_from(sorted(_own_files())))
    content = mutated(data, _own_files()[name])
    if name == "npz" and data.draw(st.booleans()):
        shape = tuple(data.draw(st.lists(st.sampled_from([0, 1, 2, 20, 10**6, 10**12, 2**63, -1]), max_size=4)))
        dtype = data.draw(st.sampled_from(["<f4", "|u1", "<i8", "|O", "|V8", "<U3", "<c8", "nonsense"]))
        header = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode() + b"\n"
        content = npz({"x_train": header, "y_train": header})
    path = folder() / f"own-{name}.{'npz' if name == 'npz' else 'csv'}"
    path.write_bytes(content)
    read = answer(lambda: load_data(f"{path.suffix[1:]}:{path}"), DataError)
    assert read is None or len(read.train) > 0


# Kernels


@cache
def _failure(path: Path) -> bytes:
    write_failure(path, sys.executable, "no reason")
    return path.read_bytes()


def check_kernels(data: Data) -> None:
    """Files in the cache of compiled kernels: only a library that is whole is believed."""
    private = folder() / "kernels"
    private.mkdir(mode=0o700, exist_ok=True)
    library, failure = private / "library.so", private / "failure.json"
    write_library(library, b"\x7fELF" + bytes(200))
    good = library.read_bytes()
    content = mutated(data, good)
    library.write_bytes(content)
    with bounded():
        assert (read_library(library) is None) == (content != good)
    failure.write_bytes(mutated(data, _failure(failure)))
    with bounded():
        assert isinstance(read_failure(failure, sys.executable), (str, type(None)))


CHECKS = {name.removeprefix("check_"): check for name, check in sorted(globals().items()) if name.startswith("check_")}
"""The checks by the names of their readers."""
