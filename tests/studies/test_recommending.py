"""A recommendation on a folder of images: what is chosen by what, what is reused, and what it says of itself."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from convarium import Workspace
from convarium.analysis.recommendation import simultaneous_interval
from convarium.errors import ConvariumError, RecipeError, RunError, TimeLimitError
from convarium.studies import Study, recommending, report, shortlist
from convarium.studies.extension import extended_record
from convarium.studies.recommendation_notes import failure_notes
from convarium.workspace.recommending import budget_seconds
from html_page import Reader
from made_runs import runs

NETWORKS = ["lenet", "lenet(pool='avg')", "residual_cnn", "residual_cnn(residual=False)", "residual_mlp(hidden=4)"]
QUICK = {"epochs": 2, "batch_size": 16}


def stripes(root, *, parts, side=28, images=40):
    """A folder of two classes, vertical and horizontal stripes in noise, `images` of each in every part."""
    rng = np.random.default_rng(0)
    for part in parts:
        for name, axis in (("upright", 0), ("lying", 1)):
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in range(images):
                wave = 60 * np.sin(np.indices((side, side))[1 - axis] + rng.uniform(0, 6))
                pixels = (128 + wave + rng.normal(0, 30, (side, side))).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return f"folder:{root}"


@pytest.fixture(autouse=True)
def without_page(monkeypatch):
    """The page takes seconds, and that of the fixture `done` is enough."""
    monkeypatch.setattr(report, "write_study_report", lambda *arguments: None)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return stripes(tmp_path_factory.mktemp("stripes"), parts=("train", "test"))


@pytest.fixture(scope="module")
def done(tmp_path_factory, dataset):
    workspace, events = Workspace(tmp_path_factory.mktemp("store"), device="cpu"), []
    found = workspace.recommend(
        NETWORKS, budget="10m", seeds=2, dataset=dataset, on_event=events.append, command="c", **QUICK
    )
    return workspace, found, events


def again(workspace, dataset, *, stop_after=None, **options):
    """The same recommendation once more, and the recipes that it trained."""
    trained = []

    def listen(event):
        if event.finished and event.trained_now:
            trained.append(event.recipe)
            if stop_after == len(trained):
                raise KeyboardInterrupt

    settings = {"budget": "10m", "seeds": 2, "command": "c", "dataset": dataset} | QUICK | options
    return workspace.recommend(NETWORKS, on_event=listen, **settings), trained


def test_the_rungs_keep_the_better_half(done):
    _, found, _ = done
    first, last = found.rungs
    assert set(first.validation) == set(NETWORKS)
    assert len(first.kept) == len(last.validation) == 3
    worst_kept = min(first.validation[name] for name in first.kept)
    assert all((first.validation[name] or 0) <= worst_kept for name in first.dropped)
    assert (first.epochs, first.seeds, last.epochs, last.seeds) == (2, 1, 2, 2)
    assert found.seconds <= found.budget == 600


def test_networks_are_chosen_by_validation_and_judged_by_the_test_images_of_the_named_run(done):
    workspace, found, _ = done
    best = found.choices[0]
    assert best.roles[0] == "most accurate"
    assert best.validation == max(value for value in found.rungs[-1].validation.values())
    for choice in found.choices:
        run = workspace.find_run(choice.run)
        assert run.recipe.model == choice.network
        assert choice.accuracy == run.outcome.test.accuracy
        assert choice.images == run.outcome.test.n == 80
        assert choice.low <= choice.accuracy <= choice.high
        assert choice.parameters == run.outcome.cost.parameters
        assert choice.images_per_second > 0
        assert choice.command.startswith(f"convarium export {choice.run} --format onnx --store ")
    assert found.judged_on == "test"
    assert found.family == len(found.choices)
    assert any(note.startswith("The test images chose nothing") for note in found.notes)


def test_no_run_looks_at_the_test_images_while_it_trains(done):
    workspace, _, _ = done
    assert all(row.test_accuracy is None for run in workspace.store.runs() for row in run.outcome.history)


def test_every_rung_is_a_study_in_the_store_and_the_last_one_has_a_page(done):
    workspace, found, _ = done
    assert sorted(workspace.store.study_names()) == [found.study, f"{found.study}-rung-1"]
    assert workspace.store.study(f"{found.study}-rung-1").metric == "validation_accuracy"
    assert found.report == workspace.store.study_folder(found.study) / "report.html"
    best = found.choices[0]
    told = Reader(found.report.read_text("utf-8")).visible
    assert f"Use {best.network}, {' and '.join(f'the {role}' for role in best.roles)}: {found.stated} " in told
    assert told.index(f"Use {best.network}, ") < told.index(" leads with ")


def test_every_later_comparison_of_the_study_begins_with_what_is_recommended(done):
    workspace, found, _ = done
    kept = Workspace(workspace.store.root, device="cpu")  # as another process reads it
    assert kept.results(found.study).recommended == tuple(map(found.use, found.choices))
    assert kept.results(found.study).answer.startswith(f"Use {found.choices[0].network}, ")
    assert kept.results(f"{found.study}-rung-1").recommended == ()


def test_a_recommendation_is_forgotten_once_the_study_has_other_runs(done):
    workspace, found, _ = done
    record = workspace.store.study(found.study)
    recipes = tuple(run.recipe for run in workspace.store.runs_of(record))
    study = Study(name=record.name, question=record.question, recipes=recipes, compare=record.compare)
    before = dataclasses.replace(record, base=study.base)
    assert extended_record(study, record.keys, before).recommended == record.recommended != ()
    assert extended_record(study, ("0" * 64,), before).recommended == ()


def test_it_says_what_it_does(done):
    messages = [event.message for event in done[2] if event.message]
    assert messages[0].startswith("rung 1 of 2: 5 networks, 2 epochs; about ")
    assert messages[1].startswith("rung 1: 3 of 5 networks go on; dropped: ")
    assert messages[2].startswith("rung 2 of 2: 3 networks, 2 epochs, 2 seeds each; about ")


def test_the_same_command_trains_nothing_again_and_says_the_same(done, dataset):
    workspace, found, _ = done
    other, trained = again(workspace, dataset, workers=2, minutes=50)
    assert trained == []
    assert other.rungs == tuple(
        dataclasses.replace(r, seconds=o.seconds) for r, o in zip(found.rungs, other.rungs, strict=True)
    )
    assert {(c.network, c.run, c.accuracy) for c in other.choices if "fastest" not in c.roles} <= {
        (c.network, c.run, c.accuracy) for c in found.choices
    }


def test_it_goes_on_where_it_was_stopped(tmp_path, dataset, done):
    workspace, (_, found, _) = Workspace(tmp_path, device="cpu"), done
    with pytest.raises(TimeLimitError, match="the time limit is reached with 0 of 5 runs finished"):
        again(workspace, dataset, minutes=1e-6)
    with pytest.raises(KeyboardInterrupt):
        again(workspace, dataset, stop_after=6)
    other, trained = again(workspace, dataset)
    assert len(workspace.store.runs()) == 8
    assert len(trained) == 8 - 6
    assert [rung.validation for rung in other.rungs] == [rung.validation for rung in found.rungs]


def test_imbalanced_classes_are_chosen_and_judged_by_the_balanced_accuracy(tmp_path, dataset):
    root = tmp_path / "photos"
    stripes(root, parts=("train", "test"))
    for part in ("train", "test"):
        for number in range(10, 40):
            (root / part / "lying" / f"{number}.png").unlink()
    workspace = Workspace(tmp_path, device="cpu")
    found = workspace.recommend(["lenet", "residual_cnn"], seeds=1, dataset=f"folder:{root}", **QUICK)
    assert (found.score, found.stated) == ("balanced validation accuracy", "balanced test accuracy")
    best = found.choices[0]
    scores = workspace.find_run(best.run).outcome.test
    assert best.accuracy == sum(scores.per_class.values()) / 2
    assert best.low <= best.accuracy <= best.high
    assert "balanced test accuracy" in repr(found)
    assert any("the balanced accuracy" in note for note in found.notes)


def test_without_test_images_the_intervals_hold_for_every_run_that_could_have_been_chosen(tmp_path, dataset):
    workspace = Workspace(tmp_path, device="cpu")
    photos = stripes(tmp_path / "photos", parts=(".",))
    found = workspace.recommend(["lenet", "residual_cnn"], seeds=1, dataset=photos, test="none", **QUICK)
    assert (found.judged_on, found.stated, found.family) == ("validation", "validation accuracy", 2)
    for choice in found.choices:
        scores = workspace.find_run(choice.run).outcome.validation
        alone = simultaneous_interval(scores.confusion)
        assert (choice.accuracy, choice.images) == (scores.accuracy, scores.n)
        assert choice.low <= alone.low
        assert choice.high >= alone.high
    assert any(note.startswith("There are no test images. The validation images that chose") for note in found.notes)


def test_with_few_images_it_says_that_guessing_may_be_as_good(tmp_path, done):
    workspace = Workspace(tmp_path, device="cpu")
    photos = stripes(tmp_path / "photos", parts=("train", "val", "test"), images=2)
    settings = {"seeds": 1, "dataset": photos, "epochs": 1, "batch_size": 4}
    found = workspace.recommend(["lenet", "lenet(pool='avg')"], **settings)
    # Even four right answers of four have an interval that begins below a half.
    assert any("gets, 50.0 %: only more test images would show" in note for note in found.notes)
    assert any(note.startswith("Whether lenet") and "learned anything cannot be told" in note for note in found.notes)
    assert any(note.startswith("A network that is picked by its test accuracy") for note in found.notes)
    assert any(note.startswith("With 4 validation images, one image is 25.0 points") for note in found.notes)
    assert not any("gets," in note for note in done[1].notes if done[1].choices[0].low > 0.5)
    with pytest.raises(RecipeError, match="--validation 2"):  # one of each class
        workspace.recommend(["lenet"], **settings, validation=0)


def test_a_recommended_network_of_which_runs_failed_is_told_of():
    made = {"lenet": runs("lenet", [0.9, None, 0.5]), "vgg": runs("vgg", [0.8, 0.8, 0.8])}
    assert list(failure_notes(made)) == ["lenet failed to train in 2 of 3 runs: another run of it may, too."]


def test_a_longer_time_is_another_plan(done, dataset):
    workspace, found, _ = done
    other, trained = again(workspace, dataset, budget="20m")
    assert other.study != found.study
    assert trained == []  # the runs are the same here, since two epochs are all


def test_without_a_model_small_networks_that_take_the_images_are_tried_as_the_images_suggest(
    tmp_path, dataset, monkeypatch
):
    class Asked(Exception):  # noqa: N818
        pass

    def ask(bases, *arguments, **settings):
        raise Asked(bases)

    monkeypatch.setattr(shortlist, "NETWORKS", ("lenet", "alexnet(stem='11x11')", "residual_cnn"))
    monkeypatch.setattr(recommending, "recommend_network", ask)
    with pytest.raises(Asked) as asked:
        Workspace(tmp_path, device="cpu").recommend(dataset=dataset, momentum=0.9)
    (bases,) = asked.value.args
    assert [base.model for base in bases] == ["lenet", "residual_cnn"]
    # 72 training images make 9 steps of 8; a momentum that is given belongs to the usual optimizer, SGD.
    assert {(base.batch_size, base.epochs, base.resize, base.optimizer) for base in bases} == {(8, 60, None, "sgd")}
    with pytest.raises(Asked) as asked:
        Workspace(tmp_path, device="cpu").recommend(["lenet"], dataset=dataset, resize=16, epochs=3)
    (base,) = asked.value.args[0]
    assert (base.resize, base.epochs, base.optimizer, base.schedule) == (16, 3, "adam", "one_cycle")
    with pytest.raises(Asked) as asked:
        Workspace(tmp_path, device="cpu").recommend(["lenet"], dataset=dataset, learning_rate=0.02, warmup=1)
    (base,) = asked.value.args[0]
    assert (base.optimizer, base.learning_rate, base.schedule) == ("adam", 0.02, "constant")


def test_what_cannot_be_recommended(tmp_path, dataset):
    workspace = Workspace(tmp_path, device="cpu")
    for options, error, message in (
        ({"watch_test": True}, RecipeError, "test images that chose nothing; leave out --watch-test"),
        ({"start_from": "run"}, RecipeError, "networks that start from drawn weights; leave out start_from here"),
        ({"validation": 0}, RecipeError, "networks are chosen on validation images, and .* has none"),
        ({"seed": 3}, RecipeError, "recommend trains with the seeds 0, 1, 2, …, so it takes no seed"),
        ({"seeds": 0}, RecipeError, "seeds is out of range"),
        ({"epohcs": 3}, ConvariumError, "unknown recipe field 'epohcs'"),
        ({"learning_rate": 1e30}, RunError, "every network failed in training"),
    ):
        with pytest.raises(error, match=message):
            workspace.recommend(["lenet"], **({"dataset": dataset} | QUICK | options))


@pytest.mark.parametrize(
    ("text", "seconds"), [("600", 600), ("600s", 600), ("10m", 600), ("1.5h", 5400), (90, 90), ("10 m", 600)]
)
def test_a_time_can_be_written_in_several_ways(text, seconds):
    assert budget_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "10 minutes", "-5s", "0s", "1e3", "nan", "721h", "1" * 5000])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ConvariumError, match="cannot read budget: expected a time from 1s to 720h, such as 90s"):
        budget_seconds(text)
