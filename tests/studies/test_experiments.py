"""The built-in studies: whole, honest about what was measured, faithful to what the sources state, and runnable."""

import dataclasses
import json
import math
import re
import sys
from pathlib import Path

import pytest
import torch

from convarium.analysis.claims import Collapses, Fails, Reproduces, describe, judge, labels_of
from convarium.analysis.comparison import compare_runs, metric_of
from convarium.analysis.comparison.formatting import duration
from convarium.cli import main
from convarium.data import DATASETS, load_data
from convarium.diagnostics import initial_gradients
from convarium.errors import RecipeError, SpecError
from convarium.models.build import build_model, check_image
from convarium.recipes.recipe import Recipe
from convarium.records import ImageSpec, Scores
from convarium.runs.files import read_predicted, write_predicted
from convarium.runs.store import Store
from convarium.studies.builtin import EXPERIMENTS, find_study
from convarium.studies.compare import compare_study
from convarium.studies.plan import check_recipe, plan_study, prepare_study
from convarium.studies.plan_sentence import Plan, describe_plan
from convarium.studies.resources import Resources
from convarium.studies.run import run_study
from convarium.studies.study import Study, grid, with_seeds
from convarium.studies.tables import study_tables
from convarium.studies.variants import reduced, reseeded
from convarium.studies.verdicts import judge_study
from made_runs import epoch, run, runs

GUIDE = Path(__file__).parents[2] / "docs" / "add-an-experiment.md"
IMAGE = ImageSpec(1, 28, 28, 10)
TWO = ("lenet", "lenet(pool='avg')")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_study_is_named_as_it_is_listed_and_every_network_takes_its_images(name):
    study = EXPERIMENTS[name]
    assert study.name == name
    assert study.question.endswith("?")
    assert study.command == f"convarium run {name}"
    for recipe in {dataclasses.replace(recipe, seed=0) for recipe in study.recipes}:
        spec = DATASETS[recipe.dataset].spec
        side = recipe.resize or spec.height
        check_image(recipe.model, dataclasses.replace(spec, height=side, width=side))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_none_has_fewer_than_five_seeds_but_the_pilot(name):
    study = EXPERIMENTS[name]
    for value in study.values:
        seeds = [r.seed for r in study.recipes if getattr(r, study.compare) == value]
        assert seeds == list(range(len(seeds)))
        assert len(seeds) >= 5 or name == "learning_rates_pilot"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_file_opens_with_question_command_and_what_was_measured_and_types_no_cost(name):
    opened = [
        module.__doc__
        for module in map(sys.modules.get, [m for m in sys.modules if m.startswith("convarium.studies.builtin.")])
        if any(value is EXPERIMENTS[name] for value in vars(module).values())
    ]
    (text,) = opened
    assert "?" in text.splitlines()[0]
    assert re.search(rf"convarium run {name} ", text)
    runs = len(EXPERIMENTS[name].recipes)
    assert re.search(rf"convarium run {name} .*\b{runs} runs", text)
    assert not re.search(r"\d ?(s|sec|seconds?|min|minutes?|h|hours?|days?)\b", text)
    assert re.search(r"^    measured +\S", text, re.MULTILINE)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_reduced_a_study_fits_the_digits_and_keeps_its_claims(name):
    small = reduced(EXPERIMENTS[name])
    assert small.name == f"{name}-quick"
    assert small.command == f"convarium run {name} --quick"
    assert small.values == EXPERIMENTS[name].values
    assert small.claims == EXPERIMENTS[name].claims
    for recipe in small.recipes:
        assert (recipe.dataset, recipe.seed < 2, recipe.epochs <= 2) == ("digits", True, True)
    for recipe in {dataclasses.replace(recipe, seed=0) for recipe in small.recipes}:
        check_recipe(recipe, _digits(recipe.validation, recipe.resize))


def _digits(validation, resize, _kept={}):  # noqa: B006  (a cache)
    if (validation, resize) not in _kept:
        _kept[validation, resize] = load_data("digits", validation=validation, resize=resize)
    return _kept[validation, resize]


def test_every_claim_can_be_told_and_its_metric_exists():
    for study in EXPERIMENTS.values():
        for claim in study.claims.values():
            assert describe(claim).endswith(f"({claim.source})")
            names = [getattr(claim, name, None) for name in ("metric", "start", "end")]
            assert all(metric_of(name) for name in names if name is not None)


# What the five sources state: the numbers of each source's own tables, in its units.
STATED = {
    "residual-blog": {99.25},
    "mnist-report": {
        0.0177, 99.40, 0.0431, 98.96, 0.0210, 99.28, 0.0405, 98.80, 0.0374, 98.87, 0.0818, 98.05,
        0.0086, 99.71, 0.0355, 99.09, 0.0536, 98.28, 0.0555, 98.21,
    },
    "uva": {90.40, 89.70, 91.84, 91.06, 91.80, 91.07, 90.72, 90.23, 260_650, 272_378, 272_250, 239_146},
}  # fmt: skip


def test_the_numbers_that_the_sources_print_are_all_claimed():
    claims = [claim for study in EXPERIMENTS.values() for claim in study.claims.values()]
    for tag, stated in STATED.items():
        numbers = [c for c in claims if isinstance(c, Reproduces) and c.source.startswith(tag)]
        printed = [(c.metric, value) for c in numbers for value in (c.printed or [c.value])]
        found = {round(100 * value if "accuracy" in metric else value, 4) for metric, value in printed}
        assert found == stated, tag


def test_the_digits_that_the_report_prints_add_up_to_the_accuracies_that_it_prints():
    images = {  # of each digit in MNIST
        "": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
        "-train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    }
    claims = {name: claim for study in EXPERIMENTS.values() for name, claim in study.claims.items()}
    for row in ("relu", "sigmoid", "tanh", "rate-0.1"):
        for split, counts in images.items():
            digits, whole = claims[f"{row}{split}-digits"], claims[f"{row}{split or '-test'}-accuracy"]
            assert (digits.label, digits.runs, digits.split) == (whole.label, whole.runs, split[1:] or "test")
            right = sum(digits.values[str(digit)] * n for digit, n in enumerate(counts))
            assert right / sum(counts) == pytest.approx(whole.value, abs=1e-4)  # both are printed with four digits


def test_the_deepened_network_with_one_block_is_the_sources_own():
    deep = build_model("residual_cnn(blocks=1)", IMAGE, seed=3)
    own = build_model("residual_cnn", IMAGE, seed=3)
    images = torch.rand(4, 1, 28, 28)
    assert torch.equal(deep(images), own(images))


def test_without_shortcuts_gradients_vanish_with_depth_and_with_them_they_do_not():
    first = {}
    for residual in (True, False):
        model = f"residual_cnn(blocks=4, residual={residual})"
        found = initial_gradients(Recipe(model=model), _digits(None, None))
        assert len(found) == 2 * 2 * 4 + 3
        assert [layer.depth for layer in found] == list(range(1, 20))
        first[residual] = found[0].rms
    assert first[False] < 1e-3 * first[True]


def study(**fields):
    given = {"name": "pools", "question": "Does the pool matter?", "recipes": grid(Recipe(), seed=[0, 1], model=TWO)}
    return Study(**(given | fields))


def test_a_claim_about_a_row_that_is_not_there_is_refused_before_anything_runs():
    with pytest.raises(SpecError, match="unknown row of the study in a claim 'lenett'; did you mean 'lenet'"):
        study(claims={"fails": Fails("lenett", source="nobody")})
    with pytest.raises(SpecError, match="unknown metric"):
        study(metric="test_acuracy")


def test_a_study_is_compared_by_its_metric_and_its_claims_are_judged_once_their_rows_are_there(tmp_path):
    base = Recipe(epochs=1, batch_size=256)
    of_loss = study(
        recipes=with_seeds([dataclasses.replace(base, model=model) for model in TWO], [0]),
        metric="test_loss",
        claims={"one": Fails("lenet", source="nobody"), "other": Fails("lenet(pool='avg')", source="nobody")},
        shows=("gradients", "spread", "predicted"),
    )
    store = Store(tmp_path)
    comparison = run_study(of_loss, Resources(store, device="cpu"), only=["lenet"])
    assert comparison.metric == "test_loss"
    assert list(judge_study(of_loss, comparison)) == ["one"]
    assert "1 of the 2 planned runs is finished." in comparison.warnings
    (shown,) = study_tables(
        of_loss, comparison, resources=Resources(store)
    )  # one seed has no spread, and nothing was watched
    assert shown.rows[0][:2] == ("lenet", "5")
    comparison = run_study(of_loss, Resources(store, device="cpu"))
    assert list(judge_study(of_loss, comparison)) == ["one", "other"]
    assert compare_study(store.study("pools"), store).metric == "test_loss"


def test_claims_are_judged_over_the_family_of_the_whole_plan():
    """Half of a study's rows must not be judged more leniently than all of them will be."""
    three = study(recipes=grid(Recipe(dataset="mnist"), seed=range(2), model=[*TWO, "residual_cnn"]))
    rows = [run(recipe, 0.9 + 0.01 * recipe.seed) for recipe in three.recipes if recipe.model != "residual_cnn"]
    seen = []

    def watched(claim, comparison):
        seen.append(comparison.family)
        return judge(claim, comparison)

    part = compare_runs(rows)
    assert part.family == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("convarium.studies.verdicts.judge", watched)
        judge_study(dataclasses.replace(three, claims={"x": Fails("lenet", source="nobody")}), part)
    assert seen == [2]


def one_digit(seed, digits, tmp_path, *, stuck=True):
    """A run over two classes at chance, or not, that named `digits` after each epoch."""
    made = run(Recipe(seed=seed, dataset="mnist", watch_test=True), 0.5, path=tmp_path / str(seed))
    confusion = ((0, 5000), (0, 5000)) if stuck else ((4900, 100), (100, 4900))
    test = Scores(0.5 if stuck else 0.98, 2.3, {"zero": 0.0, "one": 1.0}, confusion, 0.01, 10_000)
    counts = tuple((0, 10_000) if digit else (10_000, 0) for digit in digits)
    outcome = dataclasses.replace(made.outcome, test=test, validation=None, history=(epoch(1, test=0.5),))
    return dataclasses.replace(made, outcome=outcome, recorded_counts=counts)


def test_runs_that_name_one_class_for_everything_collapse(tmp_path):
    wandering = compare_runs([one_digit(seed, [1, 0, 1], tmp_path) for seed in range(5)])
    verdict = judge(Collapses("lenet", source="here"), wandering)
    assert verdict.outcome == "supported"
    assert "5 of 5 runs of lenet assigned at least 99 % of the images to one class" in verdict.sentence
    verdict = judge(Collapses("lenet", wandering=True, source="here"), wandering)
    assert verdict.outcome == "supported"
    assert "in 5 that class changed over the epochs (seed 0: one zero one)" in verdict.sentence
    (shown,) = study_tables(study(shows=("predicted",)), wandering)
    assert shown.rows[0] == ("lenet, seed 0", "one zero one")


def test_runs_that_train_do_not_collapse_and_one_that_stays_does_not_wander(tmp_path):
    (tmp_path / "a").mkdir()
    trained = compare_runs([one_digit(seed, [1, 0], tmp_path / "a", stuck=False) for seed in range(5)])
    assert judge(Collapses("lenet", source="here"), trained).outcome == "refuted"
    assert judge(Collapses("lenet", wandering=True, source="here"), trained).outcome == "refuted"
    (tmp_path / "b").mkdir()
    still = compare_runs([one_digit(seed, [1, 1], tmp_path / "b") for seed in range(5)])
    assert judge(Collapses("lenet", source="here"), still).outcome == "supported"
    assert judge(Collapses("lenet", wandering=True, source="here"), still).outcome == "refuted"
    one = compare_runs(still.rows[0].runs[:1])
    verdict = judge(Collapses("lenet", source="here"), one)
    assert verdict.outcome == "undecided"
    assert "does not settle" in verdict.sentence


def test_what_a_watched_run_predicts_is_kept_epoch_by_epoch(tmp_path):
    write_predicted(tmp_path, [(1, 8), (9, 0)])
    assert read_predicted(tmp_path) == ((1, 8), (9, 0))
    recipe = Recipe(epochs=2, batch_size=256, watch_test=True, learning_rate=1.0)
    store = Store(tmp_path / "store")
    watched = study(recipes=(recipe,))
    run_study(watched, Resources(store, device="cpu"))
    (done,) = store.runs()
    counts = done.predicted()
    assert [sum(row) for row in counts] == [360, 360]
    columns = tuple(map(sum, zip(*done.outcome.test.confusion, strict=True)))
    assert counts[-1] == columns
    assert "predicted.jsonl" in json.loads((done.path / "outcome.json").read_text())["files"]


def planned(a_study, store, **options):
    resources = Resources(store, device="cpu")
    return plan_study(prepare_study(a_study, resources, **options), resources)


def test_a_plan_counts_times_and_says_what_the_seeds_resolve(tmp_path):
    small = study(recipes=grid(Recipe(epochs=3, batch_size=256), seed=[0, 1], model=TWO))
    store = Store(tmp_path)
    plan = planned(small, store)
    assert (plan.runs, plan.missing, plan.seeds) == (4, 4, 2)
    assert 0 < plan.seconds < 600
    assert plan.smallest is None
    assert not list(tmp_path.iterdir())
    run_study(small, Resources(store, device="cpu"), only=[TWO[0]])
    after = planned(small, store)
    assert (after.runs, after.missing) == (4, 2)
    assert planned(small, store, only=(TWO[0],)).seconds == 0
    once = study(recipes=small.recipes[:1])
    assert (planned(once, store).seeds, planned(once, store).limits) == (2, ())  # two runs of it are stored already
    assert re.fullmatch(
        r"4 runs; 2 in the store; about \d+ s to go; (PyTorch's kernels|kernels convarium [0-9a-f]{8} \(gcc \S+\))\. "
        r"Two seeds decide nothing; three would be the least\.",
        describe_plan(after),
    )


def test_timing_many_recipes_is_announced(tmp_path, monkeypatch):
    monkeypatch.setattr("convarium.studies.plan.run_seconds", lambda *given, **options: 1.0)
    resources = Resources(Store(tmp_path), device="cpu")
    for many in (4, 5):
        recipes = grid(Recipe(), seed=[0], learning_rate=[0.1 / (n + 1) for n in range(many)])
        events = []
        prepared = prepare_study(study(recipes=recipes, compare="learning_rate"), resources)
        assert plan_study(prepared, resources, on_event=events.append).missing == many
        told = ["timing the first steps of 5 recipes, up to 2 s each …"] if many == 5 else []
        assert [event.message for event in events] == told


def test_plans_and_times_in_words():
    assert describe_plan(Plan(1, 1, 1, None, None)) == "1 run. One seed decides nothing."
    assert describe_plan(Plan(5, 0, 5, None, 0.0)) == "5 runs; all in the store."
    assert describe_plan(Plan(5, 0, 5, None, 0.0, "torch")) == "5 runs; all in the store."
    assert describe_plan(Plan(1, 1, 1, None, 9, "torch")) == (
        "1 run; about 9 s to go; PyTorch's kernels. One seed decides nothing."
    )
    assert "; kernels convarium 01234567 (gcc 12). " in describe_plan(
        Plan(2, 1, 1, None, 9, "convarium 01234567 (gcc 12)")
    )
    assert describe_plan(Plan(6, 6, 3, 4.53, None)) == (
        "6 runs. With 3 seeds, only differences above 4.5 times the seed-to-seed spread will show."
    )
    told = {0.1: "1 s", 89: "89 s", 600: "10 min", 3600: "1 h 0 min", 12_000: "3 h 20 min", 250_000: "2.9 days"}
    assert {seconds: duration(seconds) for seconds in told} == told


def test_a_study_gets_other_seeds_and_none_is_refused():
    assert [r.seed for r in reseeded(study(), 3).recipes] == [0, 0, 1, 1, 2, 2]
    with pytest.raises(RecipeError, match="seeds is out of range: expected 1 to 10,000, received 0"):
        reseeded(study(), 0)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("activation", None, "unknown experiment 'activation'; did you mean 'activations'"),
        ("mine.py", None, "file mine.py does not exist"),
        ("mine.py", "study = 3\n", "mine.py defines no `study`: expected"),
        ("mine.py", "1 / 0\n", "mine.py fails at mine.py:1: ZeroDivisionError"),
        ("mine.py", "from convarium import Recipe\nRecipe(epochs=0)\n", "epochs is out of range"),
    ],
)
def test_what_is_no_study(name, text, message):
    if text is not None:
        Path(name).write_text(text)
    with pytest.raises((SpecError, RecipeError), match=re.escape(message)):
        find_study(name)


def test_the_guides_experiment_runs_reduced_and_every_line_says_so(tmp_path, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    Path("pooling.py").write_text(code, "utf-8")
    made = find_study("pooling.py")
    assert len(made.recipes) == 20
    assert main(["run", "pooling.py", "--quick", "--device", "cpu"]) == 0
    shown = capsys.readouterr()
    assert all(line.startswith("[reduced] ") for line in [*shown.out.splitlines(), *shown.err.splitlines()])
    assert "4 runs; about" in shown.err
    assert "Two seeds decide nothing; three would be the least." in shown.err
    assert "max-is-better: " in shown.out
    assert "class by class" in shown.out
    assert "How far single runs lie apart" in shown.out
    assert (tmp_path / "studies" / "pooling-quick" / "report.html").exists()
    assert main(["run", "pooling.py", "--quick", "--device", "cpu", "--json"]) == 0
    shown = capsys.readouterr()
    told = json.loads(shown.out)
    assert told["reduced"] == "[reduced]"
    assert set(told["claims"]) == {"max-is-better", "same-speed"}
    assert told["command"] == "convarium run pooling.py --quick"
    assert "all in the store" in shown.err


def test_class_tables_count_classes_that_were_never_right_and_leave_out_what_cannot_be_compared():
    recipe = Recipe(dataset="mnist")
    other = dataclasses.replace(recipe, learning_rate=0.1)
    first = [run(dataclasses.replace(recipe, seed=s), 0.6, train=0.9, per_class=(0.2 * s, 1.0)) for s in (0, 1)]
    shifted = run(dataclasses.replace(other, seed=7), 0.9)  # the same network, but no seed in common
    table, *differences = study_tables(study(shows=("classes",)), compare_runs([*first, shifted], by="learning_rate"))
    assert table.rows[0][:2] == ("zero", "10.00")
    assert differences == []
    made = [run(dataclasses.replace(other, seed=s), 0.9, per_class=(0.8 + 0.01 * s, 1.0)) for s in (0, 1)]
    _, fixed = study_tables(study(shows=("classes",)), compare_runs([*first, *made], by="learning_rate"))
    assert fixed.title.startswith("learning_rate=0.1 minus learning_rate=0.01 class by class")
    assert fixed.rows[0][:2] == ("zero", "70.50")
    assert fixed.rows[1][1:] == ("0.00", "cannot be told", "undecided")


@pytest.mark.parametrize("fails", [False, True])
def test_class_by_class_too_a_network_that_fails_more_often_is_not_better(fails):
    rows = runs("lenet", [0.60, 0.61, 0.62, 0.61]) + runs("vgg", [0.90, 0.91, 0.92, None if fails else 0.91])
    _, differences = study_tables(study(shows=("classes",)), compare_runs(rows))
    assert {line[-1] for line in differences.rows} == {"undecided" if fails else "better"}


def test_labels_of_every_kind_are_rows_of_the_study():
    for one in EXPERIMENTS.values():
        for claim in one.claims.values():
            assert len(one.values_of(claim)) == len(labels_of(claim)) > 0
            assert not any(isinstance(v, float) and math.isnan(v) for v in one.values_of(claim))
