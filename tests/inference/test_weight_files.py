"""A file of weights in use: Convarium's own, a checkpoint of others, and weights that are no finite numbers."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import convarium
from convarium.cli import main
from convarium.data import load_data
from convarium.errors import ConvariumError, SpecError, WeightsError

CHECKPOINT = {"weights": "their.pth.tar:ema", "model": "lenet", "dataset": "digits"}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A store with a run on the digits, five of its test images as files, and its weights as others store theirs."""
    home = tmp_path_factory.mktemp("home")
    run = convarium.train("lenet", epochs=1, batch_size=64, store=home, device="cpu")
    (home / "images").mkdir()
    for number, image in enumerate(load_data("digits").test.images[:5]):
        Image.fromarray(image[0].numpy()).save(home / "images" / f"{number}.png")
    prefixed = {f"module.{name}": tensor for name, tensor in run.weights().items()}
    other = {name: torch.zeros_like(tensor) for name, tensor in prefixed.items()}
    torch.save({"net": other, "ema": prefixed, "best": np.float64(0.5)}, home / "their.pth.tar")
    weights = run.path / "weights.safetensors"
    with safe_open(weights, "pt") as file:
        metadata = file.metadata()
    for name, value in (("nan", math.nan), ("infinite", -math.inf)):  # whose ReLU is 0
        tensors = load_file(weights)
        tensors["3.bias"][1] = value
        save_file(tensors, home / f"{name}.safetensors", metadata)
    return home


@pytest.fixture
def run(home):
    (run,) = convarium.Store(home).runs()
    return run


@pytest.fixture
def at_home(home, monkeypatch):
    monkeypatch.chdir(home)


@pytest.mark.usefixtures("at_home")
def test_weights_answer_as_the_run_that_they_come_from(run):
    expected = convarium.predict(run.path.name, "images")
    by_metadata = convarium.predict(None, "images", weights=run.path / "weights.safetensors")
    by_flags = convarium.predict(None, "images", **CHECKPOINT)
    for answer in (by_metadata, by_flags):
        assert answer.classes == expected.classes
        np.testing.assert_array_equal(answer.logits, expected.logits)
    assert convarium.evaluate(**CHECKPOINT) == convarium.evaluate(run.key)


@pytest.mark.usefixtures("at_home")
def test_a_checkpoint_of_others_is_exported(run, tmp_path):
    done = convarium.export(format="torch-export", out=tmp_path / "lenet.pt2", **CHECKPOINT)
    program = torch.export.load(done.path).module()
    images = load_data("digits").test.images[:5]
    torch.testing.assert_close(program(images), torch.from_numpy(run.predictions()[0][:5]), rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("at_home")
def test_what_a_file_does_not_say_is_asked_for(run, capsys):
    own = str(run.path / "weights.safetensors")
    words = ["--weights", "their.pth.tar:ema"]
    assert main(["predict", *words, "images"]) == 2
    assert (
        "does not say how images are preprocessed and which classes there are; add --model" in capsys.readouterr().err
    )
    assert main(["predict", *words, "--model", "lenet", "--dataset", "digits", "images", "--csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 6
    assert main(["predict", "--weights", own, "--dataset", "digits", "images"]) == 2
    assert "says itself how its images are preprocessed; leave out --dataset" in capsys.readouterr().err
    assert main(["predict", "--weights", "their.pth.tar", "--model", "lenet", "--dataset", "digits", "images"]) == 2
    assert "holds 2 state dicts that fit lenet: net and ema; say which: their.pth.tar:net" in capsys.readouterr().err
    assert main(["predict", run.key[:8], "--dataset", "digits", "images"]) == 2
    assert "--dataset belongs to --weights: a run knows its own" in capsys.readouterr().err
    assert main(["predict", "--weights", own, "--unknown", "images"]) == 2
    assert (
        "--unknown is calibrated on the test predictions of a run, and a file of weights has none"
        in capsys.readouterr().err
    )
    assert main(["export", "--format", "torch-export"]) == 2
    assert "export takes either a run, or a file of weights; name one of them" in capsys.readouterr().err
    for call in (
        lambda: convarium.predict(run.key, "images", weights=own),
        lambda: convarium.export(run.key, weights=own, format="torch-export"),
        lambda: convarium.export(run.key, dataset="digits", format="torch-export"),
    ):
        with pytest.raises(ConvariumError, match=r"takes either|takes one of|--dataset belongs to --weights"):
            call()
    with pytest.raises(SpecError, match=r"belongs to lenet, not to residual_cnn"):
        convarium.predict(None, "images", weights=own, model="residual_cnn")


@pytest.mark.usefixtures("at_home")
def test_weights_that_are_no_finite_numbers_are_said_in_text_and_json(capsys):
    wrong = "1 of the 61,706 weights is not finite, the first in 3.bias"
    for name in ("nan", "infinite"):
        evaluate = ["evaluate", "--weights", f"{name}.safetensors", "--dataset", "digits"]
        assert main(evaluate) == 0
        assert f"these scores mean nothing: {wrong}" in " ".join(capsys.readouterr().out.split())  # folded
        assert main([*evaluate, "--json"]) == 0
        assert f"these scores mean nothing: {wrong}" in json.loads(capsys.readouterr().out)["notes"]
        with pytest.raises(WeightsError, match=rf"{name}\.safetensors cannot be exported: {wrong}"):
            convarium.export(weights=f"{name}.safetensors", format="torch-export")
    assert main(["predict", "--weights", "nan.safetensors", "images"]) == 1
    assert f"its answers mean nothing: {wrong}" in capsys.readouterr().err
    assert main(["predict", "--weights", "infinite.safetensors", "images"]) == 0
    assert f"its answers mean nothing: {wrong}" in capsys.readouterr().err
    assert main(["predict", "--weights", "infinite.safetensors", "images", "--json"]) == 0
    assert f"its answers mean nothing: {wrong}" in json.loads(capsys.readouterr().out)["notes"]
