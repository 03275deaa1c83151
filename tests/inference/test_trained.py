"""A trained network in use: the pixels of its data set, the input of its training, the logits of its run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import convarium
from convarium.data.image_files import ImageForm, pixels_of
from convarium.errors import ConvariumError, DataError, SpecError, StoreError
from convarium.inference import TrainedNetwork, load_trained
from convarium.recipes.recipe import Recipe
from convarium.runs.stored_run import StoredRun
from convarium.workspace import Workspace
from seals import mend_seal

CLASSES = ("ant", "bee", "cow")


def draw_folder(folder: Path, *, n: int = 8) -> None:
    """Images of every kind: gray of 8 and 16 bits, RGB, RGBA, with a palette, turned by a camera, of several sizes."""
    generator = np.random.default_rng(0)
    for split, count in (("train", n), ("test", 2 * n)):
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(256, size=(20 + number, 25, 4), dtype=np.uint8)
                image: Image.Image = Image.fromarray(pixels)
                ending, options = ".png", dict[str, Any]()
                if number % 5 == 0:
                    image = Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257)
                elif number % 5 == 1:
                    image = image.convert("RGB").quantize(16)
                elif number % 5 == 2:
                    image, ending, options = image.convert("RGB"), ".jpg", {"exif": _turned()}
                elif number % 5 == 3:
                    image = image.convert("L")
                image.save(folder / split / name / f"{number}{ending}", **options)


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own")
    draw_folder(path / "images")
    return path


@pytest.fixture(scope="module")
def run(folder: Path) -> StoredRun:
    recipe = Recipe(
        model="resnet(depth=8)", dataset=f"folder:{folder / 'images'}", resize=28, fit="crop", ground="#204060",
        epochs=1, batch_size=8,
    )  # fmt: skip
    return convarium.train(recipe, store=folder / "store")


@pytest.fixture(scope="module")
def trained(run: StoredRun) -> TrainedNetwork:
    return convarium.load_run(str(run.path))


def splits_of(run: StoredRun) -> Any:
    recipe = run.recipe
    return convarium.load_data(recipe.dataset, resize=recipe.resize, fit=recipe.fit, ground=recipe.ground)


def test_it_has_the_runs_network_in_evaluation_mode_with_its_classes(run: StoredRun, trained: TrainedNetwork) -> None:
    assert trained.classes == CLASSES
    assert trained.device == torch.device("cpu")
    assert not any(module.training for module in trained.modules())
    weights = run.weights() or {}
    own = trained.network.state_dict()
    assert weights.keys() == own.keys()
    assert all(torch.equal(tensor, own[name]) for name, tensor in weights.items())


def test_the_runs_own_files_have_the_pixels_of_its_data_set(run: StoredRun, trained: TrainedNetwork) -> None:
    test = splits_of(run).test
    files = [file for name in CLASSES for file in sorted((Path(run.recipe.dataset[7:]) / "test" / name).iterdir())]
    assert torch.equal(torch.stack([trained.pixels(file) for file in files]), test.images)
    # The same from Pillow's images.
    for file, expected in zip(files[:10], test.images, strict=False):
        with Image.open(file) as image:
            assert torch.equal(trained.pixels(image), expected)
            assert torch.equal(trained.pixels(str(file)), expected)


def test_its_logits_are_the_stored_predictions_bit_for_bit(run: StoredRun, trained: TrainedNetwork) -> None:
    logits, _ = run.predictions() or pytest.fail("no predictions")
    assert np.array_equal(trained.logits(splits_of(run).test.images).numpy(), logits)


@pytest.mark.parametrize(("channels", "resize"), [(1, 28), (3, None), (3, 40)])
def test_logits_of_several_batches_are_the_stored_ones_also_where_batches_resize(
    tmp_path: Path, channels: int, resize: int | None
) -> None:
    generator = np.random.default_rng(0)
    shape = (28, 28, channels) if channels > 1 else (28, 28)
    parts = {"train": 30, "test": 1100}  # three batches of 500 or less
    arrays = {f"x_{part}": generator.integers(256, size=(n, *shape), dtype=np.uint8) for part, n in parts.items()}
    np.savez(tmp_path / "a.npz", **arrays, **{f"y_{part}": np.arange(n) % 3 for part, n in parts.items()})
    recipe = Recipe(model="lenet", dataset=f"npz:{tmp_path / 'a.npz'}", resize=resize, epochs=1, batch_size=8)
    run = convarium.train(recipe, store=tmp_path)
    logits, _ = run.predictions() or pytest.fail("no predictions")
    images = torch.from_numpy(arrays["x_test"].reshape(1100, 28, 28, channels)).permute(0, 3, 1, 2).contiguous()
    (tmp_path / "a.npz").unlink()
    trained = load_trained(run)
    assert np.array_equal(trained.logits(images).numpy(), logits)
    with torch.inference_mode():
        one = trained(trained.preprocess(arrays["x_test"][0])[None])
    assert torch.allclose(one, torch.from_numpy(logits[:1]), atol=1e-5 * float(np.abs(logits).max()))


def test_it_needs_no_data_set(tmp_path: Path) -> None:
    draw_folder(tmp_path / "gone", n=3)
    run = convarium.train(
        "lenet", dataset=f"folder:{tmp_path / 'gone'}", resize=28, epochs=1, batch_size=4, store=tmp_path
    )
    image = tmp_path / "one.jpg"
    (tmp_path / "gone/test/bee/2.jpg").rename(image)
    before = convarium.load_run(run.key, store=tmp_path).preprocess(image)
    (tmp_path / "gone").rename(tmp_path / "elsewhere")
    after = convarium.load_run(run.key, store=tmp_path).preprocess(image)
    assert torch.equal(before, after)
    assert after.shape == (3, 28, 28)


def test_arrays_are_read_as_files_are() -> None:
    generator = np.random.default_rng(0)
    gray = generator.integers(256, size=(20, 24), dtype=np.uint8)
    trained = in_form(channels=1, white=4095)
    expected = trained.pixels(Image.fromarray(gray))
    assert torch.equal(trained.pixels(gray), expected)
    assert torch.equal(trained.pixels(gray[:, :, None]), expected)
    assert torch.equal(trained.pixels(gray[::-1][::-1]), expected)
    color = np.stack([gray, gray, gray], axis=2)
    assert torch.equal(trained.pixels(color), expected)
    clear = np.dstack([np.zeros_like(color), np.zeros_like(gray)])
    assert trained.pixels(clear).unique().tolist() == [255]  # the ground
    assert trained.pixels(gray > 127).unique().tolist()[-1] == 255
    deep = np.full((20, 24), 4095, np.uint16)
    for array in (deep, deep.astype(">u2"), deep.astype(np.int64), deep.astype(np.float64)):
        assert trained.pixels(array).unique().tolist() == [255]
    assert trained.pixels(Image.fromarray(deep)).unique().tolist() == [255]


def in_form(*, channels: int, white: int | None) -> TrainedNetwork:
    """An untrained network with preprocessing of this form."""
    from convarium.models.build import build_model
    from convarium.records import Preprocessing

    preprocessing = Preprocessing(CLASSES, channels, 28, 28, "stretch", (255, 255, 255), white, None, (0.5,), (0.25,))
    return TrainedNetwork(build_model("lenet", preprocessing.image), preprocessing)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((2, 3, 4, 5), np.uint8), "the image has the wrong form: .*received 'uint8"),
        (np.zeros((0, 4), np.uint8), "wrong form"),
        (np.zeros((3, 8, 8), np.uint8), "wrong form"),
        (np.zeros((8, 8), "U1"), "wrong form"),
        (7, "wrong form.*received 'int"),
        (np.full((8, 8), 0.5), "cannot read an array: values from 0.5 to 0.5 in more than 8 bits"),
        (Image.new("I", (8, 8), 900), "cannot read an image: values from 900 to 900 in more than 8 bits"),
        ("nowhere.png", "cannot read nowhere.png: .*No such file"),
        (__file__, "cannot read .*test_trained.py: cannot identify"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(image: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        in_form(channels=1, white=None).pixels(image)


@pytest.mark.parametrize("value", [-1.0, 1.5, 70_000.0, float("nan")])
def test_values_beyond_white_are_not_clipped_in_silence(value: float) -> None:
    with pytest.raises(DataError, match="where white is 1"):
        in_form(channels=1, white=1).pixels(np.full((8, 8), value))


def test_normalize_takes_only_what_pixels_gives() -> None:
    trained = in_form(channels=1, white=None)
    for images in (torch.zeros(2, 1, 28, 28), torch.zeros(2, 1, 28, 27, dtype=torch.uint8), torch.zeros(1, 28, 28)):
        with pytest.raises(DataError, match=r"expected uint8 of shape \(n, 1, 28, 28\), received"):
            trained.normalize(images)
    none = torch.zeros(0, 1, 28, 28, dtype=torch.uint8)
    assert trained.normalize(none).shape == (0, 1, 28, 28)
    assert trained.logits(none).shape == (0, 3)


def test_an_image_in_memory_stays_as_it_is() -> None:
    image = Image.new("RGB", (4, 6))
    image.getexif()[0x0112] = 6
    pixels = pixels_of(image, ImageForm(3, 4, 6))
    assert pixels.shape == (3, 4, 6)
    assert image.size == (4, 6)


def test_a_run_of_before_has_one_sentence_with_a_way_out(run: StoredRun, tmp_path: Path) -> None:
    old = convarium.train("lenet", epochs=1, store=tmp_path)
    mend_seal(old.path, lambda seal: seal["files"].pop("model.json"))
    (old.path / "model.json").unlink()
    with pytest.raises(ConvariumError, match="older Convarium made it; remove it and train it again"):
        convarium.load_run(old.key, store=tmp_path)
    for name in ("weights.safetensors", "model.json"):
        content = (run.path / name).read_bytes()
        (run.path / name).write_bytes(content[:-1])
        with pytest.raises(StoreError, match=name):
            convarium.load_run(str(run.path))
        (run.path / name).write_bytes(content)


def test_a_users_network_is_imported_under_the_rules_of_evaluate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    source = (
        "from torch import nn\n"
        "def net(spec, activation, width: int = 4):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(spec.height * spec.width, spec.classes))\n"
    )
    (tmp_path / "trained_user_net.py").write_text(source)
    run = convarium.train("trained_user_net:net", epochs=1, store=tmp_path)
    assert convarium.load_run(run.key, store=tmp_path).classes == tuple("0123456789")
    (tmp_path / "trained_user_net.py").write_text(source + "# edited\n")
    import sys

    del sys.modules["trained_user_net"]
    with pytest.raises(SpecError, match="source of trained_user_net:net is not the one"):
        convarium.load_run(run.key, store=tmp_path)
    with pytest.raises(SpecError, match="network is trained_user_net:net, not lenet"):
        convarium.load_run(run.key, model="lenet", store=tmp_path)
    trained = Workspace(tmp_path).load_run(run.key, model="trained_user_net:net")
    assert trained.classes == tuple("0123456789")
