"""A stranger's store is safe to look at: whatever its texts, names and links say, nothing runs or is overwritten."""

import csv
import dataclasses
import io
import json
import os
import re
import shutil
import subprocess
import sys
import unicodedata
from html.parser import HTMLParser

import pytest

from convarium.cli import main
from convarium.errors import StoreError
from convarium.pages import figures
from convarium.recipes.recipe import Recipe
from convarium.runs import archive
from convarium.runs.archive import RECORDS, add_records, read_records
from convarium.runs.links import outward_link
from convarium.runs.seal import sealed_text
from convarium.runs.store import Store, StudyRecord
from convarium.studies.live import live_report
from convarium.studies.study import grid
from made_studies import HERE, made_run, save_study

ORDERS = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202e\x08</script><script>alert(1)</script><img src=x onerror=alert(2)>"
FORMULA = '=HYPERLINK("http://x")'
OWN = "os:system(command='touch owned')"
DATASET = f"folder:absent{ORDERS}"
TEXTS = [name for name, value in dataclasses.asdict(HERE).items() if isinstance(value, str)]
HOSTILE = dataclasses.replace(HERE, **dict.fromkeys(TEXTS, ORDERS))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store in which every text that a record may hold gives orders."""
    folder = tmp_path_factory.mktemp("stranger")
    names = (ORDERS, FORMULA, "+1", "-1", "@SUM(1)", *"56789")
    base = Recipe(dataset=DATASET, epochs=2)
    recipes = grid(base, model=["lenet", "residual_cnn"], seed=range(2))
    runs = [made_run(folder, recipe, 0.9, names=names, environment=HOSTILE, images=60) for recipe in recipes]
    failed = dataclasses.replace(base, seed=2)
    runs.append(diverged := made_run(folder, failed, 0.1, diverges_at=1, environment=HOSTILE))
    own = dataclasses.replace(base, model=OWN)
    begun = Store(folder).begin(own, "ab" * 32, "cd" * 32)
    runs.append(Store(folder).finish(begun, dataclasses.replace(diverged.outcome, message=ORDERS)))
    keys = tuple(run.key for run in runs)
    record = StudyRecord("k", ORDERS, "model", "lenet", {"dataset": DATASET}, keys, 9, ORDERS)
    save_study(Store(folder), record)
    return folder


@pytest.fixture
def store(made, tmp_path, monkeypatch):
    """The store as the working folder, with a module that leaves a mark for every library that could be shadowed."""
    folder = tmp_path / "store"
    shutil.copytree(made, folder)
    (folder / "studies" / "forged\n\x1b[2J").mkdir()
    shutil.copy(folder / "studies" / "k" / "study.json", folder / "studies" / "forged\n\x1b[2J")
    (folder / "runs" / "forged\n\x1b[2J").mkdir()
    for name in ("my_module", "numpy", "altair", "os"):
        (folder / f"{name}.py").write_text("open('owned', 'w').close()\n")
    monkeypatch.chdir(folder)
    return folder


CALLS = [
    ["results", "k"],
    *(["results", "k", f"--{form}"] for form in ("csv", "markdown", "latex", "json")),
    ["report", "k"],
    ["report", "k", "--json"],
    ["list", "studies"],
    ["list", "studies", "--json"],
    ["list", "runs"],
    ["list", "runs", "--json"],
    ["reproduce"],
    ["reproduce", "--json"],
]


def outside(folder):
    return sorted(str(path) for path in folder.parent.rglob("*") if not path.is_relative_to(folder))


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_looking_at_it_runs_nothing_and_prints_no_orders(store, words, capsys):
    modules, path, before = set(sys.modules), list(sys.path), outside(store)
    assert main(words) == 0
    out, err = capsys.readouterr()
    for character in (out + err).replace("\n", ""):
        assert unicodedata.category(character) not in ("Cc", "Zl", "Zp"), ascii(character)
        assert character != "\u202e"
    assert not (store / "owned").exists()
    assert "my_module" not in set(sys.modules) - modules
    assert (sys.path, outside(store)) == (path, before)
    if "--json" in words:
        json.loads(out)


def test_modules_in_the_folder_are_not_taken_for_a_librarys(store):
    done = subprocess.run(
        [sys.executable, "-m", "convarium", "results", "k"], cwd=store, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (store / "owned").exists()


class _Scripts(HTMLParser):
    """Counts the scripts and images of a page, and the handlers of events that its tags have."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts, self.handlers = [], []

    def handle_starttag(self, tag, attrs):
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data):
        if self.cdata_elem == "script":
            self.scripts.append(data)


def test_its_page_has_no_script_but_ours(store):
    assert main(["report", "k"]) == 0
    page = (store / "studies" / "k" / "report.html").read_text("utf-8")
    seen = _Scripts()
    seen.feed(page)
    assert not any(script.lstrip().startswith("alert") for script in seen.scripts)
    assert not seen.handlers
    assert "<img src=x" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def test_scoring_its_run_imports_no_library(store, capsys):
    run = next(path.name for path in (store / "runs").iterdir() if "os-system" in path.name)
    (store / "runs" / run / "weights.safetensors").touch()
    assert main(["evaluate", run]) == 2
    assert not (store / "owned").exists()
    assert main(["evaluate", "\x1b[2J"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_its_figures_are_drawn_and_a_spreadsheet_computes_nothing_of_its_tables(store, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "FIGURES", {"confusion": figures.FIGURES["confusion"]})
    assert main(["report", "k", "--figures", str(tmp_path / "drawn")]) == 0
    table = (tmp_path / "drawn" / "classes.csv").read_text("utf-8")
    classes = {row["class"] for row in csv.DictReader(io.StringIO(table))}
    assert {f"'{FORMULA}", "'+1", "'-1", "'@SUM(1)", "5"} <= classes
    assert (tmp_path / "drawn" / "confusion.pdf").stat().st_size > 1000


@pytest.mark.parametrize(
    "damage",
    [
        {"keys": ["../../../etc"]},
        {"keys": ["*" * 64]},
        {"keys": [["a"]]},
        {"stacks": [["x"]]},
        {"compare": "__class__"},
        {"compare": "to_json"},
        {"compare": ["model"]},
        {"planned": "9"},
        {"base": []},
        {"question": {}},
        {"baseline": {}},
        {"metric": 3},
        {"metric": "no such"},
    ],
    ids=str,
)
def test_a_study_with_a_value_that_no_study_has_is_damaged(store, damage, capsys):
    path = store / "studies" / "k" / "study.json"
    change_study(path, damage)
    assert main(["results", "k"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def change_study(path, change):
    values = json.loads(path.read_text("utf-8")) | change
    del values["digest"]
    path.write_text(sealed_text(values), encoding="utf-8")


def test_a_study_is_called_as_its_folder_whatever_its_file_says(store):
    path = store / "studies" / "k" / "study.json"
    change_study(path, {"name": "../../out"})
    before = outside(store)
    assert Store(store).study("k").name == "k"
    assert main(["report", "k"]) == 0
    Store(store).update_study("k", lambda record: record)
    assert outside(store) == before


def test_nothing_is_written_through_a_link_out_of_the_store(store, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "report.html").write_text("mine")
    page = store / "studies" / "k" / "report.html"
    page.symlink_to(victim / "report.html")
    assert main(["report", "k"]) == 2
    assert (victim / "report.html").read_text() == "mine"
    assert main(["report", "k", "--out", str(tmp_path / "page.html")]) == 0
    with pytest.raises(StoreError, match="is a link out of"), live_report("k", Store(store)):
        pass
    page.unlink()

    key = "ef" * 32
    run = Store(store).folder(Recipe(seed=7), key)
    run.symlink_to(victim)
    with pytest.raises(StoreError, match=r"is a link out of .*, which nothing is written through; put the files"):
        Store(store).begin(Recipe(seed=7), key)
    run.unlink()
    run.mkdir()
    (run / "recipe.json").symlink_to(victim / "report.html")
    with pytest.raises(StoreError, match=r"recipe\.json is a link out of"):
        Store(store).begin(Recipe(seed=7), key)
    assert outward_link(run, store / "runs") == run / "recipe.json"
    assert (victim / "report.html").read_text() == "mine"
    assert len(list(victim.iterdir())) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_nothing_is_written_into_a_folder_that_holds_a_pipe(tmp_path):
    store, recipe = Store(tmp_path), Recipe(epochs=1)
    path = store.folder(recipe, recipe.key())
    path.mkdir(parents=True)
    os.mkfifo(path / "history.jsonl")
    with pytest.raises(
        StoreError, match=r"history\.jsonl is a pipe or a device, which a store does not hold; delete it"
    ):
        store.begin(recipe, recipe.key())
    (path / "history.jsonl").unlink()
    assert store.begin(recipe, recipe.key()) == path


def test_a_store_may_be_a_link_and_have_links_within(store, tmp_path):
    elsewhere = tmp_path / "disk"
    (store / "runs").rename(elsewhere)
    (store / "runs").symlink_to(elsewhere)
    key = "ef" * 32
    assert Store(store).begin(Recipe(seed=7), key).parent == store / "runs"


def test_records_name_no_folder_outside(store):
    add_records(store / RECORDS, Store(store).runs()[:1])
    line = json.loads((store / RECORDS).read_text("utf-8"))
    for folder in ("/etc", "../x", "..", ""):
        (store / RECORDS).write_text(_signed(line | {"folder": folder}))
        with pytest.raises(StoreError, match="is damaged"):
            read_records(store / RECORDS)


def _signed(values):
    return archive._line({name: value for name, value in values.items() if name != "digest"})
