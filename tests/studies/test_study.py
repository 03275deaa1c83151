"""A study trains only what is missing, extends, and loses nothing that is finished."""

import dataclasses
import errno
import json
import re
import subprocess
import sys
import time

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from convarium.cli import main
from convarium.errors import DataError, RecipeError, RunError, SpecError, StoreError
from convarium.recipes.recipe import ADDED_FIELDS, Recipe
from convarium.records import ImageSpec
from convarium.runs.files import read_history
from convarium.runs.listing import list_runs
from convarium.runs.store import Store
from convarium.studies import fitting, report
from convarium.studies.compare import compare_study
from convarium.studies.resources import Resources
from convarium.studies.run import run_study, train_one
from convarium.studies.study import Study, grid, study_of_networks
from convarium.training import loop
from convarium.training.checkpoint import content_digest
from convarium.workspace import Workspace

BASE = Recipe(model="lenet", epochs=1, batch_size=128)
TWO = ["lenet", "lenet(pool='avg')"]


def study(models=TWO, seeds=2, base=BASE, **fields):
    recipes = grid(base, seed=range(seeds), model=models)
    return Study(**({"name": "pools", "question": "Does the pool matter?", "recipes": recipes} | fields))


def trained(a_study, store, **options):
    """The names of the runs that `run` trained, not merely found."""
    names = []

    def listen(progress):
        if progress.finished and progress.trained_now:
            names.append(progress.finished.path.name)

    return run_study(a_study, Resources(store, device="cpu"), on_event=listen, **options), names


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    comparison, names = trained(study(), store)
    return store, comparison, names


def test_a_study_trains_every_recipe_and_compares(done):
    store, comparison, names = done
    assert len(names) == 4
    assert [row.label for row in comparison.rows] == TWO
    assert [len(row.runs) for row in comparison.rows] == [2, 2]
    assert comparison.baseline == "lenet"
    assert comparison.rows[1].verdict
    assert store.study("pools").planned == 4


def test_every_run_records_the_images_that_its_network_took_however_it_ended(tmp_path):
    both = study(["lenet"], base=dataclasses.replace(BASE, resize=32, learning_rate=1e9))
    comparison, _ = trained(both, Store(tmp_path), stack=True)
    runs = comparison.rows[0].runs
    assert [run.outcome.status for run in runs] == ["diverged"] * 2
    assert [run.outcome.image for run in runs] == [ImageSpec(1, 32, 32, 10)] * 2


def test_started_again_it_trains_nothing(done):
    store, comparison, _ = done
    again, names = trained(study(), store)
    assert names == []
    assert again.rows == comparison.rows


def test_more_seeds_and_networks_extend_it_and_only_they_are_trained(done):
    store, _, _ = done
    comparison, names = trained(study([*TWO, "lenet(activation='tanh')"], seeds=3), store)
    assert len(names) == 5
    assert [len(row.runs) for row in comparison.rows] == [3, 3, 3]
    assert "The study was planned with 4 runs; 5 were added afterwards." in comparison.warnings


def test_runs_are_shared_between_studies(done):
    store, _, _ = done
    _, names = trained(study(["lenet"], name="alone"), store)
    assert names == []


def test_a_study_from_before_a_field_was_added_can_be_extended(tmp_path):
    store = Store(tmp_path)
    trained(study(["lenet"], seeds=1), store)
    file = tmp_path / "studies" / "pools" / "study.json"
    record = json.loads(file.read_text())
    del record["digest"]
    for name in ADDED_FIELDS:
        del record["base"][name]
    file.write_text(json.dumps(record))
    _, names = trained(study(["lenet"]), store)
    assert len(names) == 1


def test_a_study_whose_network_was_edited_before_a_run_ended_goes_on_with_the_new_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = (
        "from torch import nn\n"
        "def begun(spec):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(spec.height * spec.width, spec.classes))\n"
    )
    (tmp_path / "begun_once.py").write_text(source)
    base, store = dataclasses.replace(BASE, model="begun_once:begun"), Store(tmp_path)

    def interrupt(event):
        if event.training:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(
            study_of_networks([base], seeds=2, command=None, name="mine"),
            Resources(store, device="cpu"),
            on_event=interrupt,
        )
    assert len(store.study("mine").keys) == 2
    del sys.modules["begun_once"]  # as in another process
    (tmp_path / "begun_once.py").write_text(source.replace("nn.Flatten()", "nn.Flatten(), nn.ReLU()"))
    trained(study_of_networks([base], seeds=2, command=None, name="mine"), store)
    assert sorted(store.study("mine").keys) == sorted(run.key for run in store.runs())
    assert len(store.runs()) == 2
    del sys.modules["begun_once"]


def test_a_store_that_may_not_be_written_to_answers_from_what_it_has(tmp_path, monkeypatch):
    store = Store(tmp_path)
    trained(study(["lenet"], seeds=1), store)

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied", "studies/.lock")

    monkeypatch.setattr(Store, "update_study", refuse)
    monkeypatch.setattr(report, "write_study_report", lambda *_, **__: refuse())
    notices = []
    with pytest.raises(PermissionError):  # there is no report yet
        Workspace(tmp_path, device="cpu").run(study(["lenet"], seeds=1))
    (tmp_path / "studies" / "pools" / "report.html").touch()
    result = Workspace(tmp_path, device="cpu").run(
        study(["lenet"], seeds=1), on_event=lambda event: notices.append(event.notice)
    )
    assert len(result.runs) == 1
    assert "the report stays as it was, since it may not be written to: Permission denied" in notices
    with pytest.raises(PermissionError):
        Workspace(tmp_path, device="cpu").run(study(["lenet"], seeds=2))


def test_a_network_that_was_edited_makes_another_study_and_spoils_none_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = (
        "from torch import nn\n"
        "def tried(spec, activation):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(spec.height * spec.width, spec.classes))\n"
    )
    (tmp_path / "tried_out.py").write_text(source)
    base, store = dataclasses.replace(BASE, model="tried_out:tried"), Store(tmp_path)
    unnamed = study_of_networks([base], seeds=1, command=None).name
    trained(study_of_networks([base], seeds=1, command=None, name="mine"), store)
    before = store.study("mine")
    del sys.modules["tried_out"]  # as in another process
    (tmp_path / "tried_out.py").write_text(source.replace("nn.Flatten()", "nn.Flatten(), nn.ReLU()"))
    edited = study_of_networks([base], seeds=1, command=None, name="mine")
    with pytest.raises(
        StoreError,
        match=r"study 'mine' has tried_out:tried with seed 0 already, but the source of tried_out:tried, the images of "
        r"digits or Convarium changed since; choose another --name, or remove the study: convarium remove mine",
    ):
        run_study(edited, Resources(store, device="cpu"))
    assert store.study("mine") == before
    assert len(store.runs()) == 1
    assert study_of_networks([base], seeds=1, command=None).name != unnamed
    del sys.modules["tried_out"]


def test_another_base_recipe_under_the_same_name_is_refused_and_nothing_is_lost(done):
    store, _, _ = done
    before = store.study("pools")
    with pytest.raises(StoreError, match=r"another base recipe: epochs was 1 and is now 2; choose another --name"):
        run_study(study(base=dataclasses.replace(BASE, epochs=2)), Resources(store))
    assert store.study("pools") == before
    seeds = Study(
        name="pools", question="?", recipes=grid(BASE, seed=[0], learning_rate=[0.1]), compare="learning_rate"
    )
    with pytest.raises(StoreError, match="compare was 'model' and is now 'learning_rate'"):
        run_study(seeds, Resources(store))


def test_a_study_whose_name_differs_in_case_alone_is_refused_on_every_system(done):
    store, _, _ = done
    with pytest.raises(
        StoreError, match=r"'Pools' would be one folder with the study 'pools' on Windows.*--name pools"
    ):
        run_study(study(name="Pools"), Resources(store))
    assert "Pools" not in store.study_names()


def test_the_name_of_a_study_of_a_folder_is_a_folder_on_every_system(tmp_path):
    base = dataclasses.replace(BASE, dataset="folder:a: b")
    assert re.fullmatch("a-b-lenet-[0-9a-f]{6}", study_of_networks([base], seeds=1, command=None).name)


def test_a_damaged_run_is_named_set_aside_and_trained_again(done):
    store, _, _ = done
    victim = store.runs_of(store.study("pools"))[0]
    (victim.path / "weights.safetensors").write_bytes(b"")
    notices = []

    def listen(progress):
        notices.extend([progress.notice] if progress.notice else [])

    run_study(study(), Resources(store, device="cpu"), on_event=listen)
    assert len(notices) == 1
    assert "weights.safetensors is damaged" in notices[0]
    assert f"set aside as {victim.path.name}.damaged-1" in notices[0]
    assert store.find(victim.recipe, victim.key).outcome.test == victim.outcome.test


def test_history_is_on_disk_while_a_run_is_training_and_what_is_finished_is_kept(tmp_path):
    store, seen = Store(tmp_path), []

    def interrupt(progress):
        if progress.number == 2 and progress.training and progress.training.history:
            seen.append(read_history(store.folder(progress.recipe, progress.recipe.key())))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(study(), Resources(store, device="cpu"), on_event=interrupt)
    assert len(seen[0]) == 1
    assert len(store.runs()) == 1
    comparison = compare_study(store.study("pools"), store)
    assert "1 of the 4 planned runs is finished." in comparison.warnings
    assert len(trained(study(), store)[1]) == 3


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_precision_without_instructions_is_told_of_before_training(precision, tmp_path, monkeypatch):
    for name in ("emulates_bfloat16", "emulates_float16"):
        monkeypatch.setattr(fitting, name, lambda device: True)
    notices = []
    for each in ("float32", precision):
        recipe = dataclasses.replace(BASE, precision=each)
        train_one(
            recipe,
            Resources(Store(tmp_path), device="cpu"),
            on_event=lambda p: notices.append(p.notice) if p.notice else None,
        )
    (told,) = notices
    assert told.startswith(f"this processor has no instructions for {precision}")
    assert fitting._slow_precision("bfloat16", torch.device("cuda")) == (
        "this GPU has no instructions for bfloat16 and computes it slowly; it has them for --precision float16"
    )


def test_a_run_that_fails_is_told_kept_as_failed_and_tried_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fragile.py").write_text(
        "from torch import nn\n"
        "class Fragile(nn.Module):\n"
        "    def __init__(self, spec):\n"
        "        super().__init__()\n"
        "        self.head = nn.Linear(spec.height * spec.width, spec.classes)\n"
        "    def forward(self, x):\n"
        "        if self.training:\n"
        "            raise RuntimeError('out of\\nluck')\n"
        "        return self.head(x.flatten(1))\n"
        "def fragile(spec, activation):\n"
        "    return Fragile(spec)\n"
    )
    store, notices = Store(tmp_path), []
    recipe = dataclasses.replace(BASE, model="fragile:fragile")
    for _ in range(2):
        kept = train_one(recipe, Resources(store), on_event=lambda p: notices.append(p.notice) if p.notice else None)
        assert (kept.outcome.status, kept.outcome.message) == ("failed", "RuntimeError: out of luck")
    assert notices == ["the run failed: RuntimeError: out of luck"] * 2
    wrong = (tmp_path / "fragile.py").read_text().replace("RuntimeError('out of\\nluck')", "TypeError('a slip')")
    (tmp_path / "slips.py").write_text(wrong)
    kept = train_one(dataclasses.replace(BASE, model="slips:fragile"), Resources(store))
    assert (kept.outcome.status, kept.outcome.message) == ("failed", "TypeError: a slip")


def test_nothing_is_written_when_a_recipe_cannot_be_trained(tmp_path):
    for wrong, error in (
        ({"batch_size": 5000}, RecipeError),
        ({"dataset": f"folder:{tmp_path / 'none'}"}, DataError),
    ):
        with pytest.raises(error):
            run_study(study(base=dataclasses.replace(BASE, **wrong)), Resources(Store(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_what_a_study_refuses():
    with pytest.raises(RecipeError, match="at least one recipe"):
        Study(name="s", question="?", recipes=())
    with pytest.raises(RecipeError, match="not a recipe field"):
        study(compare="modell")
    for name in ("../s", "con", "a:b", "s.", "\udcff", "x" * 201):
        with pytest.raises(
            RecipeError, match="cannot name a study, which is a folder: expected a name that Linux, macOS"
        ):
            study(name=name)
    with pytest.raises(RecipeError, match="baseline 'vgg' is not compared"):
        study(baseline="vgg")
    with pytest.raises(RecipeError, match="two different recipes of the study share model='lenet' and seed 0"):
        study(recipes=(BASE, dataclasses.replace(BASE, epochs=2)))
    with pytest.raises(RecipeError, match="axis 'sed' is not a recipe field"):
        grid(BASE, sed=[1])
    with pytest.raises(RecipeError, match="axis 'seed' has no value"):
        grid(BASE, seed=[])


def test_networks_may_be_trained_each_in_its_own_way():
    each = (BASE, dataclasses.replace(BASE, model="residual_cnn", learning_rate=0.1))
    assert "learning_rate" not in study(recipes=each).base
    assert study(recipes=each).base["epochs"] == 1


class Killed(BaseException):
    """What ends a run as a kill does: nothing of ours handles it."""


def rewritten(path, change):
    """Changes the texts of a checkpoint, which gets the digest of its new content."""
    with safe_open(path, "pt") as file:
        texts, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    texts.pop("digest")
    change(texts)
    save_file(tensors, path, texts | {"digest": content_digest(tensors, texts)})


def of_another_version(texts):
    (environment,) = json.loads(texts["environments"])
    texts["environments"] = json.dumps([environment | {"code": "abc"}])


def test_a_run_that_another_version_began_goes_on_is_mixed_and_says_so_but_not_with_exact(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    recipe, resources = dataclasses.replace(BASE, epochs=3, watch_test=True), Resources(Store(tmp_path), device="cpu")

    def kill(event):
        if event.training and event.training.epoch == 2 and event.training.step == 2:
            raise Killed

    with pytest.raises(Killed):
        train_one(recipe, resources, on_event=kill)
    (path,) = tmp_path.glob("runs/*/last.ckpt")
    rewritten(path, of_another_version)
    (path.parent / "predicted.jsonl").unlink()
    with pytest.raises(RunError, match=r"lenet seed 0 was begun in another environment .* without --exact"):
        train_one(recipe, dataclasses.replace(resources, exact=True))
    notices, steps = [], []

    def listen(event):
        notices.extend([event.notice] if event.notice else [])
        steps.extend([event.training.step] if event.training else [])

    run = train_one(recipe, resources, on_event=listen)
    alone = train_one(recipe, Resources(Store(tmp_path / "alone"), device="cpu"))
    code = alone.outcome.environment.code
    assert notices == [
        f"lenet seed 0 was begun in another environment (Convarium's code abc, then {code}); it goes on and is marked "
        "as mixed"
    ]
    assert steps[:2] == [0, 2]
    assert run.outcome.test == alone.outcome.test
    assert all(torch.equal(run.weights()[name], weight) for name, weight in alone.weights().items())
    assert run.predicted() == alone.predicted()
    assert len(run.predicted()) == 3
    assert run.is_mixed
    assert Store(tmp_path).run(run.path.name).mixed_reason == f"Convarium's code abc, then {code}"
    assert not alone.is_mixed
    with pytest.raises(RunError, match=r"lenet seed 0 is mixed: it was trained in several environments .* --exact"):
        train_one(recipe, dataclasses.replace(resources, exact=True))
    assert train_one(recipe, resources).key == run.key
    (entry,) = list_runs(Store(tmp_path))
    assert (entry.state, entry.reason) == ("finished", f"mixed: {run.mixed_reason}")
    words = ["train", "lenet", "--epochs", "3", "--batch-size", "128", "--watch-test", "--store", str(tmp_path)]
    assert main(words) == 0
    assert (
        f"mixed: it was interrupted and went on in another environment ({run.mixed_reason})" in capsys.readouterr().out
    )
    assert main([*words, "--exact"]) != 0
    assert "lenet seed 0 is mixed" in capsys.readouterr().err
    assert not list(run.path.glob("last.ckpt*"))


def test_killed_in_the_middle_and_started_again_it_gives_the_same_bits(tmp_path):
    """The process is killed with SIGKILL between two checkpoints; a second one goes on from the first's."""
    code = (
        "import sys; from convarium.training import loop; loop.CHECKPOINT_SECONDS = 0.0\n"
        "from convarium import Recipe, Store\nfrom convarium.studies.resources import Resources\n"
        "from convarium.studies.run import train_one\n"
        "recipe = Recipe(model='lenet', epochs=5, batch_size=128, momentum=0.9)\n"
        "train_one(recipe, Resources(Store(sys.argv[1]), device='cpu'))\n"
    )

    def start(folder):
        return subprocess.Popen([sys.executable, "-c", code, str(folder)])

    killed = start(tmp_path / "killed")
    try:
        deadline = time.monotonic() + 120
        while not list((tmp_path / "killed").glob("runs/*/last.ckpt")):
            assert time.monotonic() < deadline, "no checkpoint within two minutes"
            assert killed.poll() is None, "the run ended before it could be killed"
            time.sleep(0.01)
    finally:
        killed.kill()
        killed.wait()
    assert not list((tmp_path / "killed").glob("runs/*/outcome.json"))
    assert start(tmp_path / "killed").wait() == 0
    assert start(tmp_path / "whole").wait() == 0
    for name in ("predictions.npz", "weights.safetensors", "steps.npz"):
        (one,), (other,) = (list((tmp_path / which).glob(f"runs/*/{name}")) for which in ("killed", "whole"))
        assert one.read_bytes() == other.read_bytes(), name
    (one,), (other,) = (Store(tmp_path / which).runs() for which in ("killed", "whole"))
    assert [dataclasses.replace(r, seconds=0) for r in one.outcome.history] == [
        dataclasses.replace(r, seconds=0) for r in other.outcome.history
    ]


@pytest.mark.parametrize("stack", [False, True])
def test_an_error_that_on_event_raises_ends_the_study_and_is_not_the_networks(tmp_path, stack):
    error, notices = RuntimeError("the window is closed"), []

    def listen(event):
        notices.extend([event.notice] if event.notice and "failed" in event.notice else [])
        if event.training and event.training.history:
            raise error

    store = Store(tmp_path)
    with pytest.raises(RuntimeError) as raised:
        run_study(study(["lenet"]), Resources(store, device="cpu"), stack=stack, on_event=listen)
    assert raised.value is error
    assert notices == []
    assert store.runs() == []


def test_a_network_whose_file_has_changed_since_it_was_imported_is_not_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = (
        "from torch import nn\n"
        "def edited(spec, activation):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(spec.height * spec.width, spec.classes))\n"
    )
    (tmp_path / "edited_later.py").write_text(source)
    recipe, resources = dataclasses.replace(BASE, model="edited_later:edited"), Resources(Store(tmp_path), device="cpu")
    first = train_one(recipe, resources)
    (tmp_path / "edited_later.py").write_text(source.replace("nn.Flatten()", "nn.Flatten(), nn.ReLU()"))
    with pytest.raises(SpecError, match=r"edited_later\.py has changed since it was imported .*; restart Python"):
        train_one(recipe, resources)
    assert [run.key for run in resources.store.runs()] == [first.key]
    del sys.modules["edited_later"]
    assert train_one(recipe, resources).key != first.key


def test_a_run_begun_alone_goes_on_in_a_stack_with_fewer_threads_and_is_mixed(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    resources, notices, epochs = Resources(Store(tmp_path), device="cpu"), [], []
    seeds = study(models=[BASE.model], base=dataclasses.replace(BASE, epochs=3))

    def kill(event):
        if event.training and event.training.epoch == 2 and event.training.step == 1:
            raise Killed

    def listen(event):
        notices.extend([event.notice] if event.notice else [])
        epochs.extend([event.training.epoch] if event.training else [])

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(Killed):
            run_study(seeds, resources, on_event=kill)
        run_study(seeds, resources, stack=True, on_event=listen)
    finally:
        torch.set_num_threads(before)
    assert [text for text in notices if "begun" in text] == [
        "lenet seed 0 was begun in another environment (threads 2, then 1); it goes on and is marked as mixed"
    ]
    assert [(run.recipe.seed, run.mixed_reason) for run in resources.store.runs()] == [
        (0, "threads 2, then 1"),
        (1, None),
    ]


@pytest.mark.parametrize(
    ("first", "second"), [("lenet", "lenet(activation='relu')"), ("memory_mlp", "memory_mlp@memory-blog")]
)
def test_two_specs_of_one_network_are_refused_because_they_would_share_their_runs(first, second):
    bases = [Recipe(model=model, dataset="digits") for model in (first, "nin", second)]
    with pytest.raises(SpecError, match=r"is the same network as .*; name it once"):
        study_of_networks(bases, seeds=1, command=None)
