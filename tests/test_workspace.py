"""The front door: every task of the command line is one call, whatever else has been imported."""

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from collections import Counter

import pytest

import convarium
from convarium import Recipe, Study, Workspace, grid, load_data
from convarium.data import loading
from convarium.data.loading import read_data
from convarium.errors import DamageError, RecipeError, SpecError, StoreError
from convarium.runs import files, sealed_files

QUICK = {"epochs": 1, "batch_size": 256}
POOLS = ["lenet", "lenet(pool='avg')"]
VERBS = (
    "compare", "describe", "evaluate", "export", "find_run", "list_runs", "load_run", "merge", "plan", "play",
    "predict", "recommend", "remove", "report", "reproduce", "results", "run", "train",
)  # fmt: skip

IMPORT_EVERYTHING = """
import importlib, pkgutil
import convarium
for module in pkgutil.walk_packages(convarium.__path__, "convarium."):
    if not module.name.endswith("__main__") and "lightning" not in module.name:
        importlib.import_module(module.name)
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return Workspace(tmp_path_factory.mktemp("store"), device="cpu")


@pytest.fixture(scope="module")
def compared(workspace):
    events = []
    return workspace.compare(POOLS, seeds=2, name="pools", on_event=events.append, **QUICK), events


def test_no_module_stands_before_a_verb():
    """A submodule called `report` would take the place of the function once somebody imports it."""
    check = f"for verb in {VERBS!r}:\n    assert callable(getattr(convarium, verb)), verb\n"
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING + check], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_public_name_loads():
    for name in convarium.__all__:
        assert getattr(convarium, name) is not None


def test_every_verb_works_after_every_module_has_been_imported(tmp_path):
    for module in pkgutil.walk_packages(convarium.__path__, "convarium."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    where = {"store": tmp_path, "device": "cpu"}
    run = convarium.train("lenet", dataset="digits", **QUICK, **where)
    assert convarium.find_run(run.key, store=tmp_path).outcome.test == run.outcome.test
    assert convarium.evaluate(run.key, **where).accuracy == run.outcome.test.accuracy
    study = Study(name="one", question="?", recipes=grid(Recipe(**QUICK), seed=range(1)))
    assert convarium.plan(study, **where).missing == 0
    assert convarium.run(study, **where).comparison.rows[0].label == "lenet"
    assert convarium.compare(["lenet"], seeds=1, name="two", **QUICK, **where).study.name == "two"
    assert convarium.results("two", store=tmp_path).rows[0].label == "lenet"
    assert convarium.report("two", store=tmp_path).report.is_file()
    assert convarium.describe("lenet").root.parameters == run.outcome.cost.parameters
    assert {finding.entry.study.name for finding in convarium.reproduce(store=tmp_path)} >= {"vanishing"}


def test_a_comparison_is_one_call_and_gives_what_the_command_prints(workspace, compared):
    result, events = compared
    assert [row.label for row in result.comparison.rows] == POOLS
    assert len(result.runs) == 4
    assert result.report == workspace.store.root / "studies" / "pools" / "report.html"
    assert result.report.is_file()
    assert result.study.command == (
        "convarium compare lenet \"lenet(pool='avg')\" --seeds 2 --name pools --epochs 1 --batch-size 256"
    )
    assert repr(result).splitlines() == [
        "How do lenet and lenet(pool='avg') compare on digits?",
        result.comparison.answer,
        *(row.verdict for row in result.comparison.ranked),
        f"report: {result.report}",
    ]
    messages = [event.message for event in events if event.message]
    assert len(messages) == 1
    assert messages[0].startswith("4 runs; ")
    assert events[0].message == messages[0]


def test_what_is_stored_is_compared_and_drawn_without_training(workspace, compared, tmp_path):
    result, _ = compared
    assert workspace.results("pools") == result.comparison
    files = workspace.report("pools", out=tmp_path / "page.html", figures=tmp_path / "figures")
    assert files.report.read_text("utf-8") == result.report.read_text("utf-8")
    assert {path.suffix for path in files.figures} >= {".svg", ".pdf", ".png"}
    with pytest.raises(StoreError, match="no study 'none'"):
        workspace.results("none")


def test_a_study_is_run_by_name_by_file_and_as_it_is(workspace, compared, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from convarium import Recipe, Study, grid\n"
        f"recipes = grid(Recipe(epochs=1, batch_size=256), seed=[0], model={POOLS!r})\n"
        "study = Study(name='mine', question='Well?', recipes=recipes)\n"
    )
    events = []
    result = workspace.run(file, seeds=2, on_event=events.append)
    assert result.study.command == f"convarium run {file} --seeds 2"
    assert result.tuned == ()
    assert not any(event.finished.path for event in events if event.finished and event.trained_now)
    assert [row.measured for row in result.comparison.rows] == [row.measured for row in compared[0].comparison.rows]
    assert workspace.run(result.study).comparison == result.comparison
    with pytest.raises(SpecError, match="unknown experiment 'activation'; did you mean 'activations'"):
        workspace.run("activation")


def test_a_quick_study_says_what_it_is_and_a_tuned_one_names_its_rates(tmp_path):
    workspace, messages = Workspace(tmp_path, device="cpu"), []
    study = Study(name="s", question="?", recipes=grid(Recipe(epochs=3, batch_size=256), seed=range(3)), command="c")
    result = workspace.run(
        study, quick=True, seeds=1, tune=True, on_event=lambda e: messages.append(e.message) if e.message else None
    )
    assert result.study.name == "s-quick-tuned"
    assert result.study.command == "c --seeds 1 --quick --tune"
    assert messages[0].startswith("digits instead of the study's own images")
    (tuned,) = result.tuned
    assert messages[1] == f"lenet: learning rate {tuned.learning_rate:g}, by validation"
    assert messages[2].startswith("1 run")
    assert result.comparison.rows[0].runs[0].recipe.learning_rate == tuned.learning_rate


def test_a_wrong_recipe_is_refused_before_anything_is_written(tmp_path):
    workspace = Workspace(tmp_path)
    for call, message in (
        (lambda: workspace.train("lenet", epoch=3), "unknown recipe field 'epoch'; did you mean 'epochs'"),
        (lambda: workspace.compare(["lenet"], seeds=0), "seeds is out of range"),
        (
            lambda: workspace.compare(["lenet"], seeds=[0, 1]),
            r"seeds is out of range: expected 1 to 10,000, received \[0",
        ),
        (lambda: workspace.compare(["lenet"], seed=7), "compare trains every network with the seeds .* takes no seed"),
        (lambda: convarium.build_model("lenet", (1, 28, 28)), "image has the wrong type: expected an ImageSpec"),
        (lambda: workspace.compare(["lenet"], batch_size=5000), "batch_size 5000 exceeds"),
    ):
        with pytest.raises((RecipeError, SpecError), match=message):
            call()
    with pytest.raises(SpecError, match="compare needs at least one network"):
        workspace.compare([])
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def counted(monkeypatch):
    """How often each data set has been loaded, and each file of a run digested when it was sealed or read."""
    loads, sealed, read_again = Counter(), Counter(), Counter()

    def read(dataset, **options):
        loads[dataset] += 1
        return read_data(dataset, **options)

    def counting(plain, digests):
        def digest(path, *arguments):
            digests[path] += 1
            return plain(path, *arguments)

        return digest

    monkeypatch.setattr(loading, "read_data", read)
    monkeypatch.setattr(files, "file_digest", counting(files.file_digest, sealed))
    monkeypatch.setattr(sealed_files, "matches_digest", counting(sealed_files.matches_digest, read_again))
    return loads, sealed, read_again


def test_a_study_of_ten_runs_loads_its_data_once_and_digests_every_file_once(tmp_path, counted):
    """Planning, training, comparing and drawing the page share what one of them has read."""
    loads, sealed, read_again = counted
    Workspace(tmp_path, device="cpu").compare(POOLS, seeds=5, name="ten", epochs=1, batch_size=500)
    files = {path for seal in tmp_path.glob("runs/*/outcome.json") for path in files_in(seal)}
    assert len(files) >= 40
    assert loads == {"digits": 1}
    assert sealed == dict.fromkeys(files, 1)
    assert set(read_again.values()) == {1}
    sealed.clear(), read_again.clear(), loads.clear()
    again = Workspace(tmp_path, device="cpu")
    again.compare(POOLS, seeds=5, name="ten", epochs=1, batch_size=500)
    again.report("ten")
    assert loads == {"digits": 1}
    assert not sealed
    assert read_again == dict.fromkeys(files, 1)


def test_several_divisions_and_sizes_of_a_data_set_read_it_once(counted):
    loads, *_ = counted
    workspace = Workspace()
    recipes = [Recipe(validation=v, resize=r) for v, r in ((None, None), (0, None), (100, 32), (None, 32))]
    shared = [workspace.splits(recipe) for recipe in recipes]
    assert all(workspace.splits(recipe) is divided for recipe, divided in zip(recipes, shared, strict=True))
    assert loads == {"digits": 1}
    for recipe, divided in zip(recipes, shared, strict=True):
        alone = load_data("digits", validation=recipe.validation, resize=recipe.resize)
        assert (divided.mean, divided.std, divided.digest) == (alone.mean, alone.std, alone.digest)
        for part in ("train", "validation", "test"):
            assert getattr(divided, part).spec == getattr(alone, part).spec
            assert getattr(divided, part).images.equal(getattr(alone, part).images)


def files_in(seal):
    return [seal.parent / name for name in json.loads(seal.read_text("utf-8"))["files"]]


def test_a_run_whose_files_have_changed_is_digested_anew(tmp_path):
    workspace = Workspace(tmp_path, device="cpu")
    run = workspace.train("lenet", **QUICK)
    assert workspace.find_run(run.key) is workspace.find_run(run.key)
    (run.path / "weights.safetensors").write_bytes(b"")
    with pytest.raises(DamageError, match=r"weights\.safetensors is damaged"):
        workspace.find_run(run.key).weights()
    with pytest.raises(DamageError, match=r"weights\.safetensors is damaged"):
        workspace.evaluate(run.key)


def test_help_of_a_verb_explains_its_arguments():
    for name in VERBS:
        text = getattr(convarium, name).__doc__
        assert text.startswith(inspect.getdoc(getattr(Workspace, name)))
        assert text.endswith("store, data_dir and device are those of `Workspace`.")


@pytest.mark.parametrize("verb", VERBS)
def test_a_function_takes_what_the_method_takes_and_the_workspace_besides(verb):
    """Two arguments of methods are for the command line alone."""
    function, method = (inspect.signature(getattr(place, verb)) for place in (convarium, Workspace))
    theirs = {name: each for name, each in method.parameters.items() if name not in ("self", "command", "agreed")}
    ours = dict(function.parameters)
    places = {name: ours.pop(name) for name in ("store", "data_dir", "device") if name in ours}
    assert ours == theirs
    assert function.return_annotation == method.return_annotation
    of_workspace = inspect.signature(Workspace).parameters
    assert all(each.default == of_workspace[name].default for name, each in places.items())
