"""A study without test images: every table, sentence, page and file speaks of validation."""

import dataclasses
import re

import numpy as np
import pytest
from PIL import Image

from convarium.analysis.claims import Better, Collapses, describe, judge
from convarium.analysis.comparison import as_json, class_differences, compare_runs
from convarium.cli import main
from convarium.errors import RecipeError
from convarium.pages import as_csv, as_latex, as_markdown
from convarium.pages.predictions import read_predictions
from convarium.recipes.recipe import Recipe
from convarium.studies.tables import study_tables
from convarium.workspace import Workspace
from made_runs import run

NETWORKS = ("lenet", "memory_mlp(hidden=8)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of bright and dark noise, 60 images each."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name, level in (("dark", 40), ("bright", 160)):
        (root / name).mkdir()
        for i in range(60):
            pixels = np.clip(rng.normal(level, 30, (28, 28)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def done(folder, tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    recipe = {"dataset": f"folder:{folder}", "test": "none", "validation": 40, "epochs": 2, "batch_size": 20}
    return Workspace(store).compare(NETWORKS, seeds=2, select="best_validation", learning_rate=0.02, **recipe)


def test_results_are_those_of_the_validation_images(done):
    found = done.comparison
    assert (found.metric, found.split) == ("validation_accuracy", "validation")
    for one in done.runs:
        assert one.outcome.test is None
        assert one.result == one.outcome.validation
        logits, labels = one.predictions()
        assert logits.shape == (40, 2)
        assert (logits.argmax(1) == labels).mean() == pytest.approx(one.result.accuracy)
    assert found.notes[0].startswith(
        "Compared by validation accuracy, because no images were held out for a test; results marked "
        "'selected on validation' are of the epoch that was best on the same validation images"
    )
    assert found.rows[0].marks == ("selected on validation",)
    assert all("[selected on validation]" in row.verdict for row in found.rows)


def words_about_tests(text):
    text = re.sub("no images (are|were) held out for a test", "", text)
    return list(re.findall(r"[^.;|>\n]*\btest\b[^.;|<\n]*", text, flags=re.IGNORECASE))


def test_no_table_speaks_of_test_images(done):
    found = done.comparison
    for text in (as_markdown(found), as_latex(found), "\n".join(found.notes[1:])):
        assert words_about_tests(text) == []
        assert "validation" in text or text.startswith("Means")
    assert as_json(found)["split"] == "validation"
    assert as_csv(found).splitlines()[1].count("validation") >= 1
    study = dataclasses.replace(done.study, shows=("classes", "spread"))
    for table in study_tables(study, found):
        assert "test" not in table.title.lower()
    assert class_differences(found, *NETWORKS)["class"].tolist() == ["bright", "dark"]
    assert len(found.frame("classes")) == 8


def test_the_page_shows_the_validation_images(done, folder):
    page = done.report.read_text()
    shown = re.sub(r"<script.*?</script>|<style.*?</style>|data:image[^\"]*", "", page, flags=re.DOTALL)
    allowed = r"<span class=\"flag\">--test</span> none|--test none|<td>none</td>|<code>test</code>|<[^>]*>test</[^>]*>"
    shown = re.sub(allowed, "", shown)
    assert words_about_tests(shown) == []
    assert "Validation accuracy by class and network" in page
    predictions = read_predictions(done.comparison)
    assert predictions.labels.shape == (40,)
    assert '"title": "test accuracy"' not in page


def test_claims_about_the_test_accuracy_are_judged_on_validation(done):
    verdict = judge(Better(NETWORKS[0], than=NETWORKS[1], source="here"), done.comparison)
    assert "no run" not in verdict.sentence
    assert describe(verdict.claim).endswith("in validation accuracy (here)")
    assert judge(Collapses(NETWORKS[0], source="here"), done.comparison).n == 2


def test_one_seed_each_is_compared_image_by_image(done):
    found = compare_runs([one for one in done.runs if one.recipe.seed == 0])
    assert "of 40 validation images" in found.rows[1].verdict


def test_a_run_is_scored_on_validation(done):
    one = done.runs[0]
    workspace = Workspace(one.path.parent.parent)
    assert workspace.evaluate(one.path.name) == workspace.evaluate(one.path.name, split="validation") == one.result
    with pytest.raises(RecipeError, match="has no test images under this recipe") as error:
        workspace.evaluate(one.path.name, split="test")
    assert "--split validation" in str(error.value)


def test_the_mark_needs_a_choice_by_the_validation_images():
    def made(**fields):
        recipe = Recipe(dataset="folder:x", **fields)
        return compare_runs([run(dataclasses.replace(recipe, seed=s), 0.8, validation=0.9) for s in range(2)])

    assert made(test="none").rows[0].marks == ()
    assert made(test="none", select="best_validation").rows[0].marks == ("selected on validation",)
    assert made(select="best_validation").rows[0].marks == ()
    assert made().split == "test"


def test_the_command_line_says_validation_and_what_the_accuracy_hides(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos = tmp_path / "photos"
    for name, count in (("bright", 60), ("dark", 15)):
        (photos / name).mkdir(parents=True)
        for i in range(count):
            (photos / name / f"{i}.png").write_bytes((folder / name / f"{i}.png").read_bytes())
    flags = ("--dataset", "folder:photos", "--test", "none", "--validation", "25", "--batch-size", "10")
    flags += ("--epochs", "1", "--learning-rate", "1e-9", "--select", "best_validation", "--store", str(tmp_path))
    assert main(["train", "lenet", *flags]) == 0
    out = capsys.readouterr().out
    assert re.search(r"epoch 1: validation accuracy \d+\.\d\d % of 25 images \(selected on validation\)\n", out)
    assert "balanced validation accuracy 50.00 %: the mean of all classes' accuracies, because the largest class" in out
    assert "has 4 times as many training images as the smallest" in out
    assert re.search("at chance: it does no better|cannot be told", out)
    assert main(["evaluate", str(next((tmp_path / "runs").glob("photos-*"))), "--store", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("validation accuracy ")
    assert "test" not in out.replace("held out for a test", "").partition("run:")[0]
