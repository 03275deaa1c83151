"""A folder of drawn images with a test split, and a study of lenet on it, for tests of what trained networks answer."""

from pathlib import Path

import numpy as np
from PIL import Image

import convarium
from convarium.runs.store import StoredRun, StudyRecord
from made_studies import save_study

CLASSES = ("ant", "bee", "cow")
TEST_IMAGES = 180


def make_animals(home: Path, *, seeds: int = 1) -> list[StoredRun]:
    """Writes images of noise, lighter by class, to `home`/photos, and trains the study "animals" in the store."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 30), ("test", TEST_IMAGES // len(CLASSES))):
        for level, name in zip((60, 120, 180), CLASSES, strict=True):
            (home / "photos" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = generator.normal(level, 40, (28, 28)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(home / "photos" / split / name / f"{number:03}.png")
    workspace = convarium.Workspace(home, device="cpu")
    learnt = {"dataset": f"folder:{home / 'photos'}", "epochs": 3, "optimizer": "adam", "learning_rate": 0.003}
    runs = [workspace.train("lenet", seed=seed, **learnt) for seed in range(seeds)]
    keys = tuple(run.key for run in runs)
    save_study(workspace.store, StudyRecord("animals", "Which animal?", "model", "lenet", {}, keys, planned=seeds))
    return runs
