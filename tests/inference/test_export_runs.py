"""`convarium export`: a stored run as a file, checked before it is written, in float32 and in 8-bit integers."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import convarium
from convarium import Workspace
from convarium.cli import main
from convarium.data import load_data
from convarium.errors import DataError
from convarium.inference import export as exporting
from convarium.inference.export_formats import Predict, quiet, run_onnx
from convarium.intervals import Interval


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store with one run on digits."""
    store = tmp_path_factory.mktemp("store")
    return Workspace(store, device="cpu").train("lenet", dataset="digits", epochs=2, learning_rate=0.1, momentum=0.9)


@pytest.fixture
def store(trained):
    return trained.path.parents[1]


@pytest.fixture
def call(capsys, tmp_path, monkeypatch):
    """Runs one command in an empty folder: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(*argv):
        code = main([str(word) for word in argv])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def test_a_run_becomes_a_file_that_gives_its_stored_predictions(trained, store, tmp_path):
    done = convarium.export(trained.key[:12], store=store, out=tmp_path / "net.onnx")
    images = load_data("digits").test.images.numpy()
    logits, _ = trained.predictions()
    received = run_onnx((tmp_path / "net.onnx").read_bytes(), threads=1)(images)
    assert np.abs(received - logits).max() <= 1e-5 * np.abs(logits).max()
    assert (done.path, done.format, done.opset, done.loss) == (tmp_path / "net.onnx", "onnx", 18, None)
    assert done.checked_on == "test images of digits"
    assert done.agreement.images == 74
    assert done.bytes["onnx, float32"] == (tmp_path / "net.onnx").stat().st_size
    assert done.bytes["PyTorch"] == 4 * trained.outcome.cost.parameters
    assert [latency.batch for latency in done.latencies] == [1, 32]
    assert all(set(latency.milliseconds) == {"PyTorch", "onnx, float32"} for latency in done.latencies)


def test_the_file_says_what_model_json_says(trained, store, tmp_path):
    import onnx

    convarium.export(trained.path.name, store=store, out=tmp_path / "net.onnx")
    found = {entry.key: entry.value for entry in onnx.load(tmp_path / "net.onnx").metadata_props}
    assert json.loads(found["convarium"]) == json.loads((trained.path / "model.json").read_text("utf-8"))
    assert found["input"] == "images: uint8 (n, 1, 28, 28), gray, 0 is black and 255 is white"
    assert found["output"] == "logits: float32 (n, 10); their softmax is the probability of each class"
    done = convarium.export(trained.path.name, store=store, format="torch-export", out=tmp_path / "net.pt2")
    extra = dict.fromkeys(found, "")
    with quiet():
        torch.export.load(tmp_path / "net.pt2", extra_files=extra)
    assert extra == found
    assert (done.opset, done.agreement.largest_difference) == (None, pytest.approx(0, abs=1e-6))


def test_without_its_data_a_network_is_checked_on_noise_and_not_quantized(store, tmp_path, monkeypatch):
    folder = tmp_path / "photos"
    generator = np.random.default_rng(0)
    from PIL import Image

    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for i in range(20):
            Image.fromarray(generator.integers(256, size=(28, 28), dtype=np.uint8)).save(folder / name / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    run = Workspace(tmp_path, device="cpu").train(
        "memory_mlp(hidden=8)", dataset="folder:photos", epochs=1, batch_size=8
    )
    known = convarium.export(run.path.name, store=tmp_path)
    assert known.path == Path(f"{run.path.name}.onnx")
    assert known.checked_on in ("test images of folder:photos", "test images of folder:photos, repeated")
    assert known.agreement.images == 10
    (folder / "dog" / "0.png").unlink()
    changed = convarium.export(run.path.name, store=tmp_path)
    shutil.rmtree(folder)
    gone = convarium.export(run.path.name, store=tmp_path)
    for done in (changed, gone):
        assert done.checked_on == "images of noise, since the images of its training are not here as they were"
        assert done.agreement.images == 74
    with pytest.raises(DataError, match="--int8 takes training images, for its calibration: "):
        convarium.export(run.path.name, store=tmp_path, int8=True)


def test_weights_that_say_how_images_are_preprocessed_are_exported_without_their_run(trained, tmp_path, call):
    import onnx

    shutil.copy(trained.path / "weights.safetensors", "alone.safetensors")
    code, _, _ = call("export", "--weights", "alone.safetensors")
    assert code == 0
    found = {entry.key: entry.value for entry in onnx.load("alone.onnx").metadata_props}
    assert json.loads(found["convarium"]) == json.loads((trained.path / "model.json").read_text("utf-8"))
    images = load_data("digits").test.images.numpy()
    logits, _ = trained.predictions()
    received = run_onnx(Path("alone.onnx").read_bytes(), threads=1)(images)
    assert np.abs(received - logits).max() <= 1e-5 * np.abs(logits).max()


def test_a_state_dict_is_exported_with_the_statistics_of_its_data_set(trained, tmp_path):
    import onnx

    torch.save({"module." + name: tensor for name, tensor in trained.weights().items()}, tmp_path / "theirs.pth")
    done = convarium.export(
        weights=tmp_path / "theirs.pth", model="lenet", dataset="digits", int8=True, out=tmp_path / "net.onnx"
    )
    assert done.checked_on == "test images of digits"
    assert done.loss.float32 == trained.outcome.test.accuracy
    facts = json.loads({entry.key: entry.value for entry in onnx.load(done.path).metadata_props}["convarium"])
    theirs = json.loads((trained.path / "model.json").read_text("utf-8"))
    assert facts == theirs | {"run": None, "accuracy": None, "model": "lenet"}


@pytest.mark.parametrize(
    ("file", "flags", "message"),
    [
        ("own", ["--dataset", "digits"], "says itself how its images are preprocessed; leave out --dataset"),
        ("own", ["--model", "vgg"], "belongs to "),
        ("own", ["--int8"], "--int8 takes training images, for its calibration, and weights come without them; name"),
        ("theirs", [], "does not say how images are preprocessed and which classes there are; add --model"),
        ("theirs", ["--model", "lenet"], "and --dataset, the images it was trained on"),
        ("none", [], "none"),
    ],
)
def test_weights_that_cannot_be_exported_end_in_one_sentence(trained, call, file, flags, message):
    shutil.copy(trained.path / "weights.safetensors", "own")
    torch.save(trained.weights(), "theirs")
    code, out, err = call("export", "--weights", file, *flags)
    assert (code, out) == (2, "")
    assert message in err.splitlines()[-1]


def off(content: bytes, *, threads: int) -> Predict:
    right = run_onnx(content, threads=threads)
    return lambda images: right(images) * 1.001


def test_a_file_that_would_answer_otherwise_is_not_written(trained, store, call, monkeypatch):
    monkeypatch.setattr(exporting, "run_onnx", off)
    Path("old.onnx").write_bytes(b"old")
    before = sorted(Path().iterdir())
    code, out, err = call("export", trained.path.name, "--store", store, "--out", "old.onnx")
    assert (code, out) == (1, "")
    assert "the onnx file does not answer as the network: on 74 images a logit differs by 1.0e-03 of the" in err
    assert "expected at most 1e-04" in err
    assert "nothing was written" in err
    assert sorted(Path().iterdir()) == before
    assert Path("old.onnx").read_bytes() == b"old"


def test_int8_says_what_it_costs(trained, store, tmp_path):
    import onnx

    done = convarium.export(trained.path.name, store=store, int8=True, out=tmp_path / "net.onnx")
    test = load_data("digits").test
    logits, labels = trained.predictions()
    quantized = run_onnx((tmp_path / "net.onnx").read_bytes(), threads=1)(test.images.numpy()).argmax(1)
    loss = done.loss
    assert (loss.split, loss.n, loss.calibration_images) == ("test", len(labels), 300)
    assert loss.float32 == (logits.argmax(1) == labels).mean() == pytest.approx(trained.outcome.test.accuracy)
    assert loss.int8 == (quantized == labels).mean()
    assert loss.lost == loss.float32 - loss.int8
    assert loss.lost in loss.interval
    assert loss.other_classes == (quantized != logits.argmax(1)).sum() <= 0.05 * len(labels)
    names = ["PyTorch", "onnx, float32", "onnx, int8"]
    assert list(done.bytes) == names
    assert done.bytes["onnx, int8"] == (tmp_path / "net.onnx").stat().st_size < done.bytes["onnx, float32"] / 2
    assert all(list(latency.milliseconds) == names for latency in done.latencies)
    model = onnx.load(tmp_path / "net.onnx")
    assert {entry.key for entry in model.metadata_props} == {"convarium", "input", "output"}
    kinds = {tensor.data_type for tensor in model.graph.initializer if tensor.dims and np.prod(tensor.dims) > 1000}
    assert kinds == {onnx.TensorProto.INT8}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--format", "torch-export", "--int8"], "8-bit integers are written as ONNX alone; use --format onnx"),
        (["--format", "onx"], "unknown format 'onx'"),
        (["--out", "."], "--out . is a folder; name a file in it: --out model.onnx"),
        (["--out", "nowhere/net.onnx"], "there is no folder nowhere for --out"),
        (["--out", "net.pt2"], "--out net.pt2 ends as a file of another format"),
        (["--model", "vgg"], "the run's network is lenet, not vgg"),
        (["--weights", "net.pth"], "export takes either a run, or a file of weights; name one of them"),
        (["--dataset", "digits"], "--dataset belongs to --weights: a run knows its own; leave out --dataset"),
    ],
)
def test_a_wrong_call_ends_in_one_sentence(trained, store, call, flags, message):
    code, out, err = call("export", trained.path.name, "--store", store, *flags)
    assert (code, out) == (2, "")
    assert message in err.splitlines()[-1]


def test_no_such_run_is_said_before_anything_else(store, call):
    code, _, err = call("export", "nothing", "--store", store)
    assert code == 2
    assert "nothing" in err.splitlines()[-1]


@pytest.mark.parametrize("int8", [False, True])
def test_the_command_shows_check_sizes_and_speed(store, trained, call, monkeypatch, int8):
    done = _done(int8=int8)
    monkeypatch.setattr(Workspace, "export", lambda *_, **__: done)
    code, out, _ = call("export", trained.path.name, "--store", store)
    assert code == 0
    text = " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80
    assert text.startswith(f"net.onnx: {'52 kB' if int8 else '212 kB'}, ONNX opset 18 input images: ")
    which = "the float32 file differs" if int8 else "it differs"
    assert f"checked on 74 test images of mnist, in batches of 1, 2, 7 and more: {which} from the network by" in text
    assert "at most 2.0e-07 of the largest logit, and 3 images get another class" in text
    assert "PyTorch 200 kB 0.123 ms 1.23 ms" in text
    assert (
        "int8, calibrated on 300 training images, is right on 96.50 % of 10,000 test images, float32 on " in text
    ) is int8
    if int8:
        assert "97.00 %: it loses 0.50 points (95 % interval −0.10 to 1.10), and 12 images get another class" in text


def test_the_json_has_every_figure(store, trained, call, monkeypatch):
    done = _done(int8=True)
    monkeypatch.setattr(Workspace, "export", lambda *_, **__: done)
    code, out, _ = call("export", trained.path.name, "--store", store, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["path"] == "net.onnx"
    assert found["loss"]["interval"] == {"low": -0.001, "high": 0.011}
    assert found["latencies"][0]["milliseconds"]["PyTorch"] == 0.123
    assert set(found) == {field.name for field in dataclasses.fields(done)}


def _done(*, int8):
    from convarium.inference.export import Exported
    from convarium.inference.export_check import Agreement, Latency
    from convarium.inference.quantize import Loss

    names = ["PyTorch", "onnx, float32", *(["onnx, int8"] if int8 else [])]
    return Exported(
        path=Path("net.onnx"),
        format="onnx",
        opset=18,
        input="images: uint8 (n, 1, 28, 28), gray, 0 is black and 255 is white",
        output="logits: float32 (n, 10); their softmax is the probability of each class",
        checked_on="test images of mnist",
        agreement=Agreement(74, 2e-7, 3),
        bytes=dict(zip(names, (200_000, 212_345, 52_000), strict=False)),
        latencies=tuple(Latency(n, dict.fromkeys(names, 0.123 * s)) for n, s in ((1, 1), (32, 10))),
        loss=Loss("test", 10_000, 0.97, 0.965, 0.005, Interval(-0.001, 0.011), 12, 300) if int8 else None,
    )
