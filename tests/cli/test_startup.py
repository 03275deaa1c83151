"""Help, lists and completion answer at once: heavy packages are imported by those commands alone that use them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from convarium.cli import COMMANDS
from convarium.data import DATASETS
from convarium.models.index import NETWORKS, PRESETS
from convarium.recipes.presets import RECIPES
from convarium.studies.builtin import EXPERIMENTS
from convarium.studies.catalogue import catalogue

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "pandas", "altair", "statsmodels", "sklearn", "tensorboard", "scipy"}
CALL = f"""
import sys
from convarium.__main__ import main
code = main()
sys.stderr.write("imported: " + " ".join(sorted({HEAVY!r} & set(sys.modules))))
sys.exit(code)
"""


def call(*words, cwd=None, **variables):
    """Exit code, standard output, standard error and the heavy packages that a call of the command imports."""
    command = [sys.executable, "-c", CALL, *map(str, words)]
    environ = {**os.environ, **variables}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environ)
    err, _, imported = done.stderr.rpartition("imported: ")
    return done.returncode, done.stdout, err, set(imported.split())


def completions(*words, cwd=None):
    """What bash offers for the last word, and the heavy packages that are imported for it."""
    variables = {"COMP_WORDS": " ".join(["convarium", *words]), "COMP_CWORD": str(len(words))}
    code, out, err, imported = call(cwd=cwd, _CONVARIUM_COMPLETE="bash_complete", **variables)
    assert (code, err) == (0, "")
    return [line.partition(",")[2] for line in out.splitlines() if line], imported


@pytest.mark.parametrize(
    "words",
    [["--help"], ["--version"], *([command, "--help"] for command in COMMANDS)],
    ids=" ".join,
)
def test_help_and_version_import_nothing_heavy(words):
    code, out, err, imported = call(*words)
    assert (code, err) == (0, "")
    assert out
    assert imported == set()


@pytest.mark.parametrize(
    "words",
    [
        ["trian", "lenet"],
        ["train", "lenet", "--sedes", "3"],
        ["train", "lenett"],
        ["train", "lenet(pol='avg')"],
        ["compare", "lenet", "--dataset", "MNIST"],
        ["train", "lenet", "--epochs", "x"],
        ["train", "lenet", "--schedule", "cosin"],
        ["train", "lenet", "--preset", "uvaa"],
    ],
    ids=" ".join,
)
def test_a_wrong_call_is_refused_before_anything_heavy_is_imported(words):
    code, out, err, imported = call(*words)
    assert (code, out) == (2, "")
    assert "did you mean" in err or "is not a valid integer" in err
    assert imported == set()


@pytest.mark.parametrize(
    "words",
    [["predict", "norun"], ["predict", "norun", "x.png"], ["predict", "--ensemble", "nostudy:lenet", "x.png"]],
    ids=" ".join,
)
def test_a_prediction_by_nothing_is_refused_before_anything_heavy_is_imported(words, tmp_path):
    code, out, err, imported = call(*words, cwd=tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith("convarium: ")
    assert imported == set()


@pytest.mark.parametrize(
    "kind", ["models", "presets", "datasets", "activations", "recipes", "experiments", "studies --store results"]
)
def test_lists_import_nothing_heavy(kind):
    code, out, err, imported = call("list", *kind.split(), cwd=ROOT)
    assert (code, err) == (0, "")
    assert out
    assert imported == set()


@pytest.mark.parametrize(
    "words",
    [
        ["results", "vanishing", "--store", "results"],
        ["results", "vanishing", "--store", "results", "--json"],
        ["results", "vanishing", "--store", "results", "--markdown"],
        ["reproduce"],
        ["reproduce", "--json"],
    ],
    ids=" ".join,
)
def test_tables_are_drawn_from_records_without_torch(words):
    code, out, err, imported = call(*words, cwd=ROOT)
    assert (code, err) == (0, "")
    assert out
    assert not {"torch", "altair", "sklearn", "tensorboard"} & imported


def test_a_report_is_drawn_from_records_without_torch(tmp_path):
    code, _, err, imported = call(
        "report", "vanishing", "--store", "results", "--out", tmp_path / "report.html", cwd=ROOT
    )
    assert (code, err) == (0, "")
    assert (tmp_path / "report.html").exists()
    assert "torch" not in imported


def test_completion_offers_names_and_imports_nothing_heavy(tmp_path):
    (tmp_path / "studies" / "pools").mkdir(parents=True)
    (tmp_path / "studies" / "pools" / "study.json").write_text("{}")
    (tmp_path / "mine.py").write_text("")
    (tmp_path / "studies" / "own.py").write_text("")
    offers = {
        ("tr",): ["train"],
        ("",): list(COMMANDS),
        ("compare", "lenet", "resnet"): [n for n in [*NETWORKS, *PRESETS] if n.startswith("resnet")],
        ("train", "lenet", "--dataset", ""): [*DATASETS, "folder:", "csv:", "npz:"],
        ("train", "lenet", "--optimizer", "adam"): ["adam", "adamw"],
        ("train", "lenet", "--preset", "d"): [tag for tag in RECIPES if tag.startswith("d")],
        ("train", "lenet", "--learn"): ["--learning-rate"],
        ("list", "m"): ["models"],
        ("run", "m"): [*(name for name in EXPERIMENTS if name.startswith("m")), "mine.py"],
        ("run", f"{tmp_path}/m"): [f"{tmp_path}/mine.py"],
        ("run", "studies/"): ["studies/own.py"],
        ("run", "no_folder/"): [],
        ("bench", "lenet"): ["lenet@d2l"],
        ("results", "po"): ["pools"],
        ("reproduce", "memory-on"): [name for name in catalogue() if name.startswith("memory-on")],
    }
    for words, expected in offers.items():
        offered, imported = completions(*words, cwd=tmp_path)
        assert offered == expected, words
        assert imported == set(), words


def test_bash_gets_its_completion_script():
    code, out, _, imported = call(_CONVARIUM_COMPLETE="bash_source")
    assert code == 0
    assert "complete -o nosort -F _convarium_completion convarium" in out
    assert imported == set()
