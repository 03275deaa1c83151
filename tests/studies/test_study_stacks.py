"""Studies that train in stacks: which runs train together is written down first, and whole stacks are resumed."""

import json

import pytest
import torch

from convarium.cli import main
from convarium.recipes.recipe import Recipe
from convarium.runs.store import Store
from convarium.studies.resources import Resources
from convarium.studies.run import run_study
from convarium.studies.study import Study, grid


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Killed(BaseException):
    pass


def study(seeds=4, **fields):
    base = Recipe(model="memory_mlp(hidden=8)", epochs=1, batch_size=256)
    recipes = grid(base, seed=range(seeds), model=["memory_mlp(hidden=8)", "residual_mlp(hidden=8)"])
    return Study(**({"name": "two", "question": "Which?", "recipes": recipes} | fields))


def trained(a_study, store, **options):
    events = []
    comparison = run_study(a_study, Resources(store, device="cpu"), on_event=events.append, **options)
    names = [event.finished.path.name for event in events if event.finished and event.trained_now]
    return comparison, names, [event.notice for event in events if event.notice]


def test_a_study_writes_its_stacks_down_and_every_member_names_them(tmp_path, two_threads):
    store = Store(tmp_path)
    comparison, names, notices = trained(study(), store, stack=True)
    assert len(names) == 8
    assert notices == [f"4 runs of {kind}_mlp(hidden=8) train side by side" for kind in ("memory", "residual")]
    stacks = json.loads((tmp_path / "studies" / "two" / "study.json").read_text("utf-8"))["stacks"]
    assert [len(keys) for keys in stacks] == [4, 4]
    for run_ in store.runs():
        (mine,) = [keys for keys in stacks if run_.key in keys]
        assert run_.outcome.environment.stack == tuple(key[:8] for key in mine)
        assert len(list(run_.path.glob("events*"))) == 1
        assert not (run_.path / "last.ckpt").exists()
    assert [len(row.runs) for row in comparison.rows] == [4, 4]
    assert trained(study(), store, stack=True)[1] == trained(study(), store)[1] == []


def test_a_study_killed_between_two_members_finishes_its_stack_with_the_same_bits(tmp_path, monkeypatch):
    uninterrupted, broken = Store(tmp_path / "uninterrupted"), Store(tmp_path / "broken")
    trained(study(), uninterrupted, stack=True)
    finish, calls = Store.finish, []

    def killed(self, path, outcome):
        calls.append(path)
        if len(calls) == 3:
            raise Killed
        return finish(self, path, outcome)

    monkeypatch.setattr(Store, "finish", killed)
    with pytest.raises(Killed):
        trained(study(), broken, stack=True)
    monkeypatch.setattr(Store, "finish", finish)
    assert len(broken.runs()) == 2
    _, names, _ = trained(study(), broken, stack=True)
    assert len(names) == 6
    for a, b in zip(uninterrupted.runs(), broken.runs(), strict=True):
        assert a.path.name == b.path.name
        assert a.outcome.environment.stack == b.outcome.environment.stack
        assert all(torch.equal(tensor, b.weights()[name]) for name, tensor in a.weights().items())


def test_more_seeds_make_a_new_stack_and_the_old_one_stays(tmp_path):
    store = Store(tmp_path)
    trained(study(2), store, stack=True)
    before = store.study("two").stacks
    _, names, _ = trained(study(4), store, stack=True)
    assert len(names) == 4
    assert store.study("two").stacks[: len(before)] == before
    assert len(store.study("two").stacks) == 4


def test_a_stack_that_fails_is_reported_and_its_runs_are_tried_again(tmp_path, monkeypatch):
    def out_of_memory(*args, **options):
        raise RuntimeError("not enough memory")

    store = Store(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("convarium.studies.fitting.fit_stack", out_of_memory)
        _, _, notices = trained(study(), store, stack=True)
    assert notices[1] == (
        "the stack of 4 runs failed: RuntimeError: not enough memory; without --stack they train one by one"
    )
    assert {run_.outcome.status for run_ in store.runs()} == {"failed"}
    assert len(trained(study(), store)[1]) == 8
    assert {run_.outcome.status for run_ in store.runs()} == {"finished"}


def test_a_stack_that_gains_nothing_says_so(tmp_path, two_threads):
    torch.set_num_threads(1)
    _, names, notices = trained(study(2), Store(tmp_path), stack=True)
    assert len(names) == 4
    assert notices[0] == "2 runs of memory_mlp(hidden=8) train side by side, which is no faster on one thread"


def test_a_hint_stands_where_a_stack_would_pay(tmp_path, two_threads):
    _, _, notices = trained(study(), Store(tmp_path))
    assert notices == [
        "--stack trains 4 runs of memory_mlp(hidden=8) side by side, which is faster than one after another"
    ]
    torch.set_num_threads(1)
    assert trained(study(name="slow"), Store(tmp_path / "slow"))[2] == []


def test_the_command_line_stacks(tmp_path, capsys):
    words = ["compare", "memory_mlp(hidden=8)", "--seeds", "2", "--epochs", "1", "--batch-size", "256", "--stack"]
    assert main([*words, "--store", str(tmp_path), "--device", "cpu"]) == 0
    assert "2 runs of memory_mlp(hidden=8) train side by side" in capsys.readouterr().err
    assert all(len(run_.outcome.environment.stack) == 2 for run_ in Store(tmp_path).runs())
