"""Checkpoints: after any step a run goes on with the bits of one never interrupted, and no damaged file is believed."""

import dataclasses
import errno
import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from convarium.errors import RunError
from convarium.recipes.recipe import Recipe
from convarium.runs.environment import environment
from convarium.studies.study import grid
from convarium.training import checkpoint, fit, fit_stack, parallel
from convarium.training import loop as training_loop
from convarium.training.checkpoint import Checkpoints, content_digest, load_checkpoint, save_checkpoint
from convarium.training.side_by_side import fit_side_by_side
from convarium.training.stacked import fit_stacked_model
from convarium.training.stopping import TrainingStoppedError
from convarium.training.trainer import prepare_run
from small_networks import few

CPU = torch.device("cpu")
SMALL = Recipe(model="lenet", epochs=2, batch_size=5, learning_rate=0.02, momentum=0.9, validation=20, resize=16)
"""Two epochs of four steps."""
ADAM = {"optimizer": "adam", "momentum": 0.0, "learning_rate": 1e-3}
DROPOUT = {"model": "alexnet(hidden=8, width_divisor=16)", "augment": "pad_crop(2)"}


@pytest.fixture(scope="module")
def splits():
    return few(20, resize=16)


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def same(a, b):
    assert a.status == b.status
    for one, other in zip(a.history, b.history, strict=True):
        assert repr(dataclasses.replace(one, seconds=0)) == repr(dataclasses.replace(other, seconds=0))  # also NaN
    np.testing.assert_array_equal(a.step_loss, b.step_loss)
    np.testing.assert_array_equal(a.step_accuracy, b.step_accuracy)
    assert a.selected_epoch == b.selected_epoch
    assert a.weights.keys() == b.weights.keys()
    for name, weight in a.weights.items():
        np.testing.assert_array_equal(weight, b.weights[name])
    assert (a.logits is None and b.logits is None) or np.array_equal(a.logits, b.logits)


def stopping_after(count):
    """A `should_stop` that answers True from the `count`-th question on."""
    asked = []

    def should_stop():
        asked.append(1)
        return len(asked) >= count

    return should_stop


RESUMED = {
    "sgd": {"momentum": 0.0},
    "momentum, nesterov, two groups": {"nesterov": True, "weight_decay": 0.01, "decay_norms_and_biases": False},
    "adam, the best epoch": ADAM | {"select": "best_validation"},
    "adamw, one cycle": ADAM | {"optimizer": "adamw", "schedule": "one_cycle", "weight_decay": 0.1},
    "dropout, augmentation, a smaller last batch": DROPOUT | {"batch_size": 6},
    "dropout in bfloat16": DROPOUT | {"precision": "bfloat16"},
    "a scaled loss in float16": {"precision": "float16", "learning_rate": 0.05},
    "batch norm, warm-up, drop_last": {
        "model": "mnist_resnet",
        "schedule": "cosine",
        "warmup": 1,
        "batch_size": 6,
        "drop_last": True,
    },
    "class weights, smoothing": {"class_weights": "balanced", "label_smoothing": 0.1},
    "memory": {"model": "memory_mlp(hidden=8)", **ADAM},
    "memory with weight decay, test watched": {
        "model": "memory_mlp(hidden=8)",
        "weight_decay": 0.01,
        "watch_test": True,
        "select": "best_test",
    },
}


@pytest.mark.parametrize("changes", RESUMED.values(), ids=RESUMED)
def test_a_run_stopped_after_any_step_goes_on_with_the_same_bits(changes, splits, tmp_path):
    recipe = dataclasses.replace(SMALL, **changes)
    whole = fit(recipe, splits, device="cpu")
    last = len(whole.step_loss) - 1
    for number in (1, (last + 1) // 2, last):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(TrainingStoppedError):
            fit(recipe, splits, device="cpu", folder=folder, should_stop=stopping_after(number))
        events = []
        resumed = fit(recipe, splits, device="cpu", folder=folder, on_event=events.append)
        assert sum(event.history is None for event in events) == len(whole.step_loss) - number
        same(resumed, whole)
        assert resumed.earlier == ()


def test_a_run_stopped_after_every_single_step_has_the_same_bits(splits, tmp_path):
    recipe = dataclasses.replace(SMALL, **DROPOUT, watch_test=True)
    for _ in range(7):
        with pytest.raises(TrainingStoppedError):
            fit(recipe, splits, device="cpu", folder=tmp_path, should_stop=lambda: True)
    counts = []
    outcome = fit(
        recipe,
        splits,
        device="cpu",
        folder=tmp_path,
        should_stop=lambda: True,  # the last step ends the run itself
        on_event=lambda event: counts.extend([event.test_predicted] if event.history else []),
    )
    same(outcome, fit(recipe, splits, device="cpu"))
    assert [len(rows) for rows in counts] == [1, 2]
    assert outcome.cost.train_seconds == pytest.approx(sum(row.seconds for row in outcome.history))


STACKS = {
    "dropout": [DROPOUT | {"seed": seed} for seed in (0, 1, 2)],
    "adam, the best epoch, two rates": [
        ADAM | {"model": "mnist_resnet", "learning_rate": rate, "select": "best_validation"} for rate in (1e-3, 2e-3)
    ],
    "a member that has diverged": [{"learning_rate": rate} for rate in (0.02, 1e6)],
    "memory": [{"model": "memory_mlp(hidden=8)", "seed": seed} for seed in (0, 1)],
    "a scaled loss in float16": [{"precision": "float16", "seed": seed} for seed in (0, 1)],
}


@pytest.mark.parametrize("method", [fit_side_by_side, fit_stacked_model])
@pytest.mark.parametrize("changes", STACKS.values(), ids=STACKS)
def test_a_stack_stopped_after_any_step_goes_on_with_the_same_bits(
    method, changes, splits, tmp_path, monkeypatch, one_thread
):
    monkeypatch.setattr(parallel, "_method_for", lambda device: method)
    recipes = [dataclasses.replace(SMALL, **own) for own in changes]
    whole = fit_stack(recipes, splits, device="cpu")
    for number in (1, 4, 6):
        folders = [tmp_path / f"{number}-{member}" for member in range(len(recipes))]
        for folder in folders:
            folder.mkdir()
        with pytest.raises(TrainingStoppedError):
            fit_stack(recipes, splits, device="cpu", folders=folders, should_stop=stopping_after(number))
        for resumed, alone in zip(fit_stack(recipes, splits, device="cpu", folders=folders), whole, strict=True):
            same(resumed, alone)


def test_members_that_have_finished_are_kept_while_the_others_are_not(splits, tmp_path, one_thread):
    recipes = grid(SMALL, seed=[0, 1])
    folders = [tmp_path / "0", tmp_path / "1"]
    for folder in folders:
        folder.mkdir()
    with pytest.raises(TrainingStoppedError):  # on one thread they train one after another; 8 questions a member
        fit_stack(recipes, splits, device="cpu", folders=folders, should_stop=stopping_after(12))
    steps = []
    resumed = fit_stack(
        recipes, splits, device="cpu", folders=folders, on_event=lambda m, e: steps.append(m) if not e.history else None
    )
    assert steps == [1] * 5
    for outcome, alone in zip(resumed, fit_stack(recipes, splits, device="cpu"), strict=True):
        same(outcome, alone)


def stopped(recipe, splits, folder, *, after=6):
    """The path and content of a checkpoint that a run left in its second epoch."""
    with pytest.raises(TrainingStoppedError):
        fit(recipe, splits, device="cpu", folder=folder, should_stop=stopping_after(after))
    path = folder / "last.ckpt"
    with safe_open(path, "pt") as file:
        return path, file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def test_one_changed_byte_anywhere_in_a_checkpoint_is_not_believed(splits, tmp_path):
    recipe = dataclasses.replace(SMALL, model="memory_mlp(hidden=2)", watch_test=True)
    whole = fit(recipe, splits, device="cpu")
    path, _, _ = stopped(recipe, splits, tmp_path)
    content = path.read_bytes()
    trainer = prepare_run(recipe, splits, CPU)
    before = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
    draw = np.random.default_rng(0)
    believed = 0
    for position in draw.integers(0, len(content), 60):
        changed = bytearray(content)
        changed[position] ^= 1 << int(draw.integers(0, 8))
        path.write_bytes(changed)
        resumption = load_checkpoint(path, trainer)
        if resumption.resumed:  # white space that JSON ignores
            believed += 1
            same(fit(recipe, splits, device="cpu", folder=tmp_path), whole)
            continue
        assert "lenet" not in resumption.notice
        assert "is damaged; it begins anew, and the file is kept as last.ckpt.damaged" in resumption.notice
        assert all(torch.equal(tensor, before[name]) for name, tensor in trainer.network.state_dict().items())
    assert believed <= 2


DAMAGE = {
    "no optimizer state": lambda tensors, texts: [tensors.pop(n) for n in list(tensors) if n.startswith("optimizer.")],
    "part of the optimizer state": lambda tensors, texts: tensors.update(
        {"optimizer.0.exp_avg": tensors.pop("optimizer.0.momentum_buffer")}
    ),
    "another optimizer's state": lambda tensors, texts: tensors.update({"optimizer.0.momentum_buffer": torch.zeros(3)}),
    "state of a parameter that is not there": lambda tensors, texts: tensors.update(
        {"optimizer.99.momentum_buffer": torch.zeros(3)}
    ),
    "selected weights of another network": lambda tensors, texts: tensors.update({"selected.w": torch.zeros(3)}),
    "a weight of another shape": lambda tensors, texts: tensors.update({"network.0.weight": torch.zeros(3)}),
    "weights of another kind": lambda tensors, texts: tensors.update(
        {name: tensor.double() for name, tensor in tensors.items() if name.startswith("network.")}
    ),
    "no losses": lambda tensors, texts: tensors.pop("step_loss"),
    "fewer losses": lambda tensors, texts: tensors.update({"step_loss": torch.zeros(1)}),
    "no generator": lambda tensors, texts: tensors.pop("generator-0"),
    "no state of a generator": lambda tensors, texts: tensors.update({"generator-0": torch.zeros(3)}),
    "fewer steps of the epoch": lambda tensors, texts: tensors.update({"epoch_losses": torch.zeros(1)}),
    "more steps than the epoch has": lambda tensors, texts: texts.update(epoch_steps="4"),
    "no number": lambda tensors, texts: texts.update(epoch_steps="four"),
    "an epoch that does not exist": lambda tensors, texts: texts.update(selected_epoch="7"),
    "no history": lambda tensors, texts: texts.update(history="[]"),
    "a history with a text": lambda tensors, texts: texts.update(
        history=json.dumps([json.loads(texts["history"])[0] | {"train_loss": "low"}])
    ),
    "a history of numbers": lambda tensors, texts: texts.update(history="[1]"),
    "a history that is nested": lambda tensors, texts: texts.update(history="[" * 100_000),
    "no environment": lambda tensors, texts: texts.update(environments="[]"),
    "an environment of numbers": lambda tensors, texts: texts.update(environments="[1]"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_checkpoint_that_is_only_partly_right_changes_nothing_even_with_its_digest(damage, splits, tmp_path):
    path, texts, tensors = stopped(SMALL, splits, tmp_path)
    damage(tensors, texts)
    texts.pop("digest")
    save_file(tensors, path, texts | {"digest": content_digest(tensors, texts)})
    fresh = prepare_run(SMALL, splits, CPU)
    before = {name: tensor.clone() for name, tensor in fresh.network.state_dict().items()}
    resumption = load_checkpoint(path, fresh)
    assert not resumption.resumed
    assert resumption.notice.startswith("the checkpoint of lenet seed 0 is damaged; it begins anew")
    assert all(torch.equal(tensor, before[name]) for name, tensor in fresh.network.state_dict().items())
    assert not fresh.optimizers[0].state_dict()["state"]
    assert not fresh.runs[0].state.history
    assert not fresh.progress.steps
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt.damaged"]


def notices_of_a_whole_run(splits, folder):
    """Trains SMALL in a folder to the outcome that it has without one, and returns the notices of its events."""
    notices = []
    outcome = fit(
        SMALL,
        splits,
        device="cpu",
        folder=folder,
        on_event=lambda event: notices.extend([event.notice] if event.notice else []),
    )
    same(outcome, fit(SMALL, splits, device="cpu"))
    return notices


def test_a_damaged_checkpoint_costs_its_epochs_and_is_named(splits, tmp_path):
    (tmp_path / "last.ckpt").write_bytes(b"\x08\0\0\0\0\0\0\0{broken}")
    notices = notices_of_a_whole_run(splits, tmp_path)
    assert notices == [
        "the checkpoint of lenet seed 0 is damaged; it begins anew, and the file is kept as last.ckpt.damaged"
    ]


def test_a_checkpoint_of_another_recipe_is_set_aside_and_not_continued(splits, tmp_path):
    path, _, _ = stopped(SMALL, splits, tmp_path)
    content = path.read_bytes()
    other = prepare_run(dataclasses.replace(SMALL, learning_rate=0.05), splits, CPU)
    assert load_checkpoint(path, other) == (
        False,
        "lenet seed 0 was begun with another recipe or other data; it begins anew, and the file is kept as "
        "last.ckpt.other",
    )
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt.other"]
    assert (tmp_path / "last.ckpt.other").read_bytes() == content
    assert load_checkpoint(path, other) == (False, None)


@pytest.mark.parametrize(
    ("texts", "words"),
    [({"recipe": "k"}, "by an older version of Convarium"), ({"format": "9"}, "by another version of Convarium")],
)
def test_a_checkpoint_of_another_version_is_set_aside(texts, words, splits, tmp_path):
    path, tensors = tmp_path / "last.ckpt", {"w": torch.zeros(3)}
    save_file(tensors, path, texts | ({"digest": content_digest(tensors, texts)} if "format" in texts else {}))
    assert f"was begun {words}; it begins anew" in load_checkpoint(path, prepare_run(SMALL, splits, CPU)).notice
    assert (tmp_path / "last.ckpt.other").exists()


def test_a_checkpoint_that_may_not_be_read_is_an_error_and_stays(splits, tmp_path, monkeypatch):
    path, _, _ = stopped(SMALL, splits, tmp_path)

    def refused(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(type(path), "open", refused)
    with pytest.raises(PermissionError, match="Permission denied") as error:
        load_checkpoint(path, prepare_run(SMALL, splits, CPU))
    assert error.value.filename == str(path)
    assert path.exists()


def test_a_damaged_checkpoint_that_cannot_be_renamed_is_no_error(splits, tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    path.write_bytes(b"\x08\0\0\0\0\0\0\0{broken}")

    def refused(*_):
        raise PermissionError

    monkeypatch.setattr(type(path), "replace", refused)
    resumption = load_checkpoint(path, prepare_run(SMALL, splits, CPU))
    assert resumption == (False, "the checkpoint of lenet seed 0 is damaged; it begins anew")


CHANGES = {
    "threads": ({"threads": 64}, "threads 64, then {threads}"),
    "kernels": ({"kernels": "others"}, "kernels others, then {kernels}"),
    "torch": ({"torch": "0.4"}, "torch 0.4, then {torch}"),
    "code": ({"code": "abc"}, "Convarium's code abc, then {code}"),
    "processor and device": (
        {"processor": "Z80", "device": "cuda: H100"},
        "processor Z80, then {processor}; device cuda: H100, then cpu",
    ),
}


@pytest.mark.parametrize(("fields", "reason"), CHANGES.values(), ids=CHANGES)
def test_a_run_that_was_begun_in_another_environment_goes_on_and_is_mixed(fields, reason, splits, tmp_path):
    path, texts, tensors = stopped(SMALL, splits, tmp_path)
    (values,) = json.loads(texts["environments"])
    texts["environments"] = json.dumps([values | fields])
    texts.pop("digest")
    save_file(tensors, path, texts | {"digest": content_digest(tensors, texts)})
    here = environment("cpu")
    where = f"lenet seed 0 was begun in another environment ({reason.format(**vars(here))})"
    with pytest.raises(RunError) as error:
        fit(SMALL, splits, device="cpu", folder=tmp_path, exact=True)
    assert str(error.value).startswith(where)
    assert "without --exact" in str(error.value)
    notices, steps = [], []

    def listen(event):
        notices.extend([event.notice] if event.notice else [])
        steps.append(event.history is None and event.notice is None)

    with pytest.raises(TrainingStoppedError):
        fit(SMALL, splits, device="cpu", folder=tmp_path, on_event=listen, should_stop=lambda: True)
    assert notices == [f"{where}; it goes on and is marked as mixed"]
    with pytest.raises(RunError):  # it stays mixed
        fit(SMALL, splits, device="cpu", folder=tmp_path, exact=True)
    outcome = fit(SMALL, splits, device="cpu", folder=tmp_path, on_event=listen)
    assert len(notices) == 1
    assert sum(steps) == 2
    (before,) = outcome.earlier
    assert all(getattr(before, name) == value for name, value in fields.items())
    assert outcome.environment.threads == here.threads


def test_what_does_not_move_the_bits_makes_no_mixed_run(splits, tmp_path):
    path, texts, tensors = stopped(SMALL, splits, tmp_path)
    (values,) = json.loads(texts["environments"])
    texts["environments"] = json.dumps([values | {"commit": "other", "convarium": "0.0.9", "started": "before"}])
    texts.pop("digest")
    save_file(tensors, path, texts | {"digest": content_digest(tensors, texts)})
    outcome = fit(SMALL, splits, device="cpu", folder=tmp_path, exact=True)
    assert outcome.earlier == ()
    same(outcome, fit(SMALL, splits, device="cpu"))


def test_a_full_disk_during_a_checkpoint_does_not_end_the_run(splits, tmp_path, monkeypatch):
    monkeypatch.setattr(training_loop, "CHECKPOINT_SECONDS", 0.0)
    real, written = save_checkpoint, []

    def full_at_first(path, trainer):
        written.append(len(written) >= 3)
        if len(written) <= 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, trainer)

    monkeypatch.setattr(checkpoint, "save_checkpoint", full_at_first)
    notices = notices_of_a_whole_run(splits, tmp_path)
    (notice,) = notices
    assert notice.startswith("the checkpoint of lenet seed 0 cannot be written (No space left on device: ")
    assert written.count(True) == 4
    assert (tmp_path / "last.ckpt").exists()


def test_checkpoints_that_take_long_are_written_less_often(splits, tmp_path, monkeypatch):
    trainer = prepare_run(SMALL, splits, CPU)
    checkpoints = Checkpoints(tmp_path / "last.ckpt", trainer, seconds=5.0, should_stop=None, on_notice=lambda _: None)
    for duration, pause in ((0.001, 5.0), (0.05, 5.0), (0.5, 50.0)):
        monkeypatch.setattr(checkpoint, "save_checkpoint", lambda path, trainer: None)
        monkeypatch.setattr(checkpoint.Stopwatch, "seconds", lambda self, duration=duration: duration)
        checkpoints.save(tmp_path / "last.ckpt")
        assert checkpoints.pause == pytest.approx(pause)
