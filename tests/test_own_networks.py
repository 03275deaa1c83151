"""A store that names a user's own network: looking imports nothing; training and scoring import what was digested."""

import json
import shutil
import sys
import textwrap

import pytest

from convarium import Recipe, Workspace
from convarium.diagnostics.diagnose_runs import NOT_REBUILT, diagnose, diagnose_run
from convarium.errors import SpecError
from convarium.models.factories import source_digest
from convarium.runs.archive import add_records, read_records
from convarium.runs.store import Store, StoredRun
from convarium.studies.resources import Resources
from convarium.studies.study import Study, with_seeds
from convarium.studies.tables import study_tables
from own_modules import forget, write

NET = """
    from torch import nn

    def net(spec, width: int = 4):
        inputs = spec.channels * spec.height * spec.width
        return nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), nn.Linear(width, spec.classes))
"""
MARKED = "open('imported', 'w').close()\n"
MODEL = "mine:net(width=5)"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a network and a store whose study compares it with LeNet."""
    folder = tmp_path_factory.mktemp("made")
    write(folder / "mine.py", NET)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        workspace = Workspace(folder / "store", device="cpu")
        workspace.compare(["lenet", MODEL], seeds=1, name="k", epochs=1, batch_size=256)
    forget(folder)
    return folder


@pytest.fixture
def trained(made, folder):
    """A copy of that folder, in which nothing has been imported yet, and the run of the network in it."""
    shutil.copytree(made, folder, dirs_exist_ok=True)
    return folder, next(run for run in Store(folder / "store").runs() if run.recipe.model == MODEL)


def test_what_only_looks_at_a_store_imports_nothing_that_a_record_names(trained):
    folder, _ = trained
    (folder / "mine.py").write_text(MARKED + (folder / "mine.py").read_text())
    workspace, told = Workspace(folder / "store", device="cpu"), []
    rows = workspace.results("k").rows
    assert [row.label for row in rows] == ["lenet", MODEL]
    workspace.report("k", diagnostics=True, on_event=told.append)
    assert f"{MODEL} has no diagnostics: {NOT_REBUILT}" in told
    assert NOT_REBUILT in (folder / "store" / "studies" / "k" / "report.html").read_text("utf-8")
    workspace.reproduce()
    found = diagnose({row.label: row.runs for row in rows[1:]}, workspace.splits)
    assert [diagnosis.reason for diagnosis in found] == [NOT_REBUILT]
    study = Study(name="k", question="?", recipes=with_seeds([rows[0].runs[0].recipe], [0]), shows=("gradients",))
    resources = Resources(Store(folder / "store"), device="cpu")
    (gradients,) = study_tables(study, workspace.results("k"), resources=resources)
    assert gradients.rows[1][:2] == (MODEL, "not rebuilt")
    assert "mine" not in sys.modules
    assert not (folder / "imported").exists()


def test_scoring_imports_the_network_whose_source_the_run_was_made_with(trained):
    folder, run = trained
    evaluated = Workspace(folder / "store", device="cpu").evaluate(run.path.name)
    assert evaluated.accuracy == run.outcome.test.accuracy
    workspace = Workspace(folder / "store", device="cpu")
    assert diagnose_run(run, workspace.splits(run.recipe), label="mine", size=3).label == "mine"
    assert str(folder) not in sys.path


def test_scoring_refuses_another_source_unless_the_network_is_named(trained):
    folder, run = trained
    (folder / "mine.py").write_text(MARKED + (folder / "mine.py").read_text())
    workspace = Workspace(folder / "store", device="cpu")
    for refused in (
        lambda: workspace.evaluate(run.path.name),
        lambda: diagnose_run(run, workspace.splits(run.recipe), label="mine", size=3),
    ):
        with pytest.raises(SpecError, match=r"^the source of mine:net is not the one that the run was made with"):
            refused()
    with pytest.raises(SpecError, match=r"^the run's network is mine:net\(width=5\), not lenet; leave out --model"):
        workspace.evaluate(run.path.name, model="lenet")
    with pytest.raises(SpecError, match=r"^the source of mine:net is not the one that the run was made with"):
        workspace.evaluate(run.path.name, dataset="digits")
    assert not (folder / "imported").exists()
    scores = workspace.evaluate(run.path.name, model="mine:net( width=5 )")
    assert scores.accuracy == run.outcome.test.accuracy
    assert (folder / "imported").exists()


def test_records_keep_the_digest_of_the_source_and_old_ones_have_none(trained):
    folder, run = trained
    assert run.source is not None
    assert len(run.source) == 64
    add_records(folder / "runs.jsonl", [run])
    assert read_records(folder / "runs.jsonl")[run.key].source == run.source
    others = [other for other in Store(folder / "store").runs() if other.key != run.key]
    assert [other.source for other in others] == [None]
    assert "source" not in json.loads((others[0].path / "recipe.json").read_text("utf-8"))


def test_a_run_of_another_source_is_told_of_and_not_continued(folder):
    """The key covers the file that defines the network; what that file imports is covered by the source's digest."""
    write(folder / "sizes.py", "WIDTH = 4\n")
    source = (
        textwrap.dedent(NET)
        .replace(", width: int = 4", "")
        .replace("(inputs, width)", "(inputs, WIDTH)")
        .replace("(width,", "(WIDTH,")
    )
    write(folder / "mine.py", f"from sizes import WIDTH\n{source}")
    recipe = Recipe(model="mine:net", epochs=2, batch_size=256)

    def train(stop_after: int | None = None) -> tuple[StoredRun | None, list[str]]:
        notices = []

        def on_event(event):
            notices.extend([event.notice] if event.notice else [])
            if stop_after is not None and event.training and event.training.epoch == stop_after:
                raise KeyboardInterrupt

        try:
            return Workspace(folder / "store", device="cpu").train(recipe, on_event=on_event), notices
        except KeyboardInterrupt:
            return None, notices

    train(stop_after=1)
    (path,) = (folder / "store" / "runs").glob("*mine*")
    (path / "last.ckpt").touch()
    forget(folder)
    write(folder / "sizes.py", "WIDTH = 2 + 2\n")
    run, notices = train()
    assert any("was begun with another source of its network; it begins anew" in notice for notice in notices)
    assert run is not None
    assert run.source == source_digest("mine:net")
    forget(folder)
    write(folder / "sizes.py", "WIDTH = 6\n")
    again, notices = train()
    assert again is not None
    assert again.key == run.key
    assert any("was made with another source of mine:net: a file that its network imports has" in n for n in notices)
