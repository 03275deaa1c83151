"""A run is scored on the images that it was made with, or not at all."""

import shutil

import pytest
from PIL import Image

from convarium.diagnostics import MissingDiagnosis, diagnose
from convarium.errors import DataError
from convarium.workspace import Workspace


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("own")
    for name in ("cat", "dog"):
        (root / "photos" / name).mkdir(parents=True)
        for i in range(20):
            Image.new("L", (4, 4), 10 * i + (name == "dog")).save(root / "photos" / name / f"{i:02}.png")
    dataset = f"folder:{root / 'photos'}"
    run = Workspace(root / "store").train("residual_mlp(hidden=2)", dataset=dataset, epochs=1, batch_size=8)
    return root, run


@pytest.fixture
def changed(made):
    """The folder of images, which may be changed, and is as before afterwards."""
    root, run = made
    shutil.copytree(root / "photos", root / "before")
    yield root / "photos", run
    shutil.rmtree(root / "photos")
    (root / "before").rename(root / "photos")


def test_on_its_own_images_a_run_has_its_own_scores(made):
    root, run = made
    workspace = Workspace(root / "store")
    assert workspace.evaluate(run.key).accuracy == run.outcome.test.accuracy
    assert workspace._resources.test_images(run) is not None
    assert Workspace(root / "store")._resources.test_images(run) is not None


def more(photos):
    for i in range(20, 30):
        Image.new("L", (4, 4), i).save(photos / "cat" / f"{i}.png")


def another(photos):
    Image.new("L", (4, 4), 3).save(photos / "cat" / "00.png")


def renamed(photos):
    (photos / "cat").rename(photos / "emu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (more, "it had 29 for training, 3 for validation and 8 for the test, now there are 36 for training, 4 for"),
        (another, "now there are as many, 29/3/8, with other pixels, names, labels or division; restore them"),
        (renamed, "now there are as many, 29/3/8, with other pixels, names"),
    ],
)
def test_on_changed_images_it_is_not_scored_explained_or_illustrated(changed, change, message):
    photos, run = changed
    change(photos)
    workspace = Workspace(run.path.parents[1])
    with pytest.raises(
        DataError, match=f"the images of folder:.* are not those that {run.path.name} was made with: .*{message}"
    ):
        workspace.evaluate(run.key)
    assert workspace._resources.test_images(run) is None
    assert Workspace(run.path.parents[1])._resources.test_images(run) is None
    (missing,) = diagnose({"mlp": [run]}, workspace.splits)
    assert isinstance(missing, MissingDiagnosis)
    assert "are not those that" in missing.reason
