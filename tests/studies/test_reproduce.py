"""The catalogue of published claims: what it lists, what it runs, what is kept, and the page that is made of it."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from convarium.analysis.claims import (
    Better,
    Collapses,
    Equivalent,
    Fails,
    Ordered,
    Reproduces,
    ReproducesClasses,
    measured,
    published,
    source_tag,
)
from convarium.cli import main
from convarium.disk import write_json
from convarium.errors import ConvariumError, FileContentError, SpecError, StoreError
from convarium.recipes.recipe import Recipe
from convarium.records import Cost, Outcome
from convarium.runs.store import Store, StudyRecord
from convarium.studies.builtin import EXPERIMENTS
from convarium.studies.catalogue import catalogue, findings, select, stored_comparison, studies_of
from convarium.studies.costs import describe_rates, expected_seconds, rate_of, recorded_rates
from convarium.studies.finding_cells import as_json, cost_cell, rates_behind, runs_cell
from convarium.studies.not_asked import NOT_ASKED
from convarium.studies.reasons import REASONS
from convarium.studies.reproductions import SOURCES, record_study, reproductions_page, results_folder, spans
from convarium.studies.study import Study, grid
from convarium.studies.tables import claims_section
from convarium.studies.variants import reduced
from convarium.studies.verdicts import sizes_of
from convarium.workspace import Workspace
from made_runs import HERE, epoch, scores
from made_studies import save_study

ROOT = Path(__file__).parents[2]
NAME = "memory_vs_residual"


def fill(store, study, level, *, seeds=5, only=None, environment=HERE):
    """Made-up finished runs of a study, about `level(recipe)` accurate, with the record of the study itself."""
    rng = np.random.default_rng(0)
    keys = []
    for recipe in study.recipes:
        keys.append(recipe.key())
        if recipe.seed >= seeds or (only and getattr(recipe, study.compare) not in only):
            continue
        accuracy = round(float(level(recipe) + rng.normal(0, 0.0005)) * 5000) / 5000
        outcome = Outcome(
            "finished",
            tuple(epoch(n, test=accuracy if recipe.watch_test else None) for n in range(1, recipe.epochs + 1)),
            dataclasses.replace(environment, commit="0123abcdef" * 4, started=f"2026-01-0{recipe.seed % 9 + 1}T10:00"),
            Cost(1000, 2000, 90.0, 100.0, 500.0, 10**8),
            selected_epoch=recipe.epochs,
            test=scores(accuracy),
            weights={"w": torch.ones(3)},
        )
        store.finish(store.begin(recipe, recipe.key()), outcome)
    save_study(
        store,
        StudyRecord(
            study.name, study.question, study.compare, study.values[0], study.base, tuple(keys), len(keys), "command",
            study.metric,
        )
    )  # fmt: skip
    return store


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    return fill(Store(tmp_path_factory.mktemp("filled")), EXPERIMENTS[NAME], lambda recipe: 0.982)


def test_the_catalogue_has_every_claim_under_a_name_of_its_own():
    entries = catalogue()
    assert len(entries) == sum(len(study.claims) for study in EXPERIMENTS.values())
    study = EXPERIMENTS[NAME]
    with pytest.raises(SpecError, match="two claims are called 'memory-on-par'; rename the one of other"):
        catalogue([study, dataclasses.replace(study, name="other")])


def test_every_row_of_what_the_five_sources_state_is_in_the_catalogue():
    rows = {
        "memory-blog": ["memory-on-par", "memory-surpasses"],
        "residual-blog": ["residual-cnn-best", "deep-plain-fails", "deep-residual-trains"],
        "d2l": [
            "larger-is-better", "larger-is-slower", "alexnet-is-larger", "nin-below-vgg", "nin-slower-than-vgg",
            "nin-is-smaller", "nin-is-smaller-than-alexnet", "alexnet-computes-more",
            *(f"{name}-d2l{split}" for name in ("lenet", "alexnet", "vgg") for split in ("", "-train")), "nin-d2l",
        ],
        "mnist-report": [
            *(f"{name}-{split}-{what}" for name in ("relu", "sigmoid", "tanh", "rate-0.1")
              for split in ("train", "test") for what in ("loss", "accuracy")),
            *(f"{name}{split}-digits" for name in ("relu", "sigmoid", "tanh", "rate-0.1") for split in ("", "-train")),
            "tanh-ends-as-relu", "sigmoid-ends-as-relu", "sigmoid-swings", "sigmoid-swings-more-than-tanh",
            "rate-0.001-learns-fastest", "rate-0.001-ends-best", "rate-0.001-is-steadiest",
            "relu-then-tanh-then-sigmoid", "rate-1-fails", "rate-1-one-digit", "rate-1-digit-changes",
            "shortcut-changes-little",
        ],
        "uva": [
            *(f"{name}-uva-{split}" for name in ("googlenet", "resnet", "preact-resnet", "densenet")
              for split in ("validation", "test")),
            "activation-place-does-not-matter", "resnet-over-googlenet", "resnet-over-densenet", "sgd-suits-resnet",
            "sgd-starts-worse", "googlenet-overfits", "googlenet-close-to-densenet",
            "resnet-faster-than-googlenet", "resnet-faster-than-densenet",
        ],
    }  # fmt: skip
    entries = catalogue()
    for source, names in rows.items():
        assert set(names) <= {entry.name for entry in select([source], entries)}, source


def test_sources_and_reasons_belong_to_claims_that_exist():
    entries = catalogue()
    assert {entry.claim.source.partition(",")[0] for entry in entries.values()} == set(SOURCES)
    assert set(REASONS) <= set(entries)


def test_what_the_five_sources_claim_besides_is_listed_with_the_reason_and_the_place(filled):
    assert list(NOT_ASKED) == list(SOURCES)[:5]
    page = reproductions_page(filled)
    assert page.count("\nClaimed and not asked:\n") == len(NOT_ASKED)
    names = {*catalogue(), *EXPERIMENTS}
    for claim, reason in (pair for claims in NOT_ASKED.values() for pair in claims):
        assert re.search(r"sections? \d", claim), claim
        assert set(re.findall(r"`([a-z0-9_-]+)`", reason)) <= names
    assert "- Both networks reach a high accuracy (section 5): no level is named.\n" in page


def test_every_claim_names_the_place_of_its_sentence_and_the_report_s_recipe_is_always_assumed():
    for entry in catalogue().values():
        assert re.search(r"section|table|figure|title|mean of 5 runs", entry.claim.source), entry.name
        states_all = source_tag(entry.claim) not in ("mnist-report", "he2016")
        assert states_all or entry.claim.assumed is not None, entry.name


def test_a_recipe_that_the_source_ran_twice_is_one_claim_on_the_mean_of_both():
    """The report's ReLU run and its run at a rate of 0.001, its default, are one recipe."""
    claims = {name: entry.claim for name, entry in catalogue().items() if name.startswith("relu-t")}
    for claim in claims.values():
        if isinstance(claim, Reproduces):
            assert claim.runs == len(claim.printed) == 2
            assert claim.value == pytest.approx(sum(claim.printed) / 2)
    assert published(claims["relu-train-loss"]) == "0.01315 nats, the mean of 0.0177 and 0.0086"
    assert catalogue()["relu-digits"].claim.values["9"] == pytest.approx((0.9703 + 0.9752) / 2)
    assert not any(name.startswith(("rate-0.001-t", "rate-0.001-digits")) for name in catalogue())


def test_sizes_are_judged_from_the_index_without_a_run_and_cost_none(tmp_path):
    entries = select(["nin-is-smaller", "alexnet-is-larger", "alexnet-computes-more", "resnet-uva-size"], catalogue())
    assert studies_of(entries) == ()
    for found in findings(entries, [Store(tmp_path)]):
        assert (found.verdict.outcome, found.verdict.n, found.planned) == ("supported", None, 0)
        assert (cost_cell(found, {}), runs_cell(found)) == ("none", "")
        assert found.verdict.sentence.endswith("counted without a run")


def test_a_size_that_the_index_does_not_have_waits_for_its_runs():
    """The index counts no network with options, and none on other images than its own."""
    claim = Better("lenet", than="lenet(pool='avg')", metric="parameters", source="a paper")
    plain = Study(name="sizes", question="Which?", recipes=grid(Recipe(), model=["lenet", "lenet(pool='avg')"]))
    assert sizes_of(plain, claim) == {}
    alone = Reproduces("lenet", 61_706, metric="parameters", source="a paper")
    assert sizes_of(plain, alone) == {"lenet": 61_706}
    operations = dataclasses.replace(alone, metric="flops")
    assert sizes_of(plain, operations) == {}
    on_colors = Study(name="sizes", question="How large?", recipes=(Recipe(dataset="cifar10"),))
    assert sizes_of(on_colors, alone) == sizes_of(on_colors, operations) == {}


def test_what_missing_runs_would_cost_is_computed_from_recorded_rates(tmp_path):
    timing = {"job": "alexnet@d2l", "precision": "float32", "members": 1, "batch_size": 128, "threads": 2,
              "date": "2026-01-02", "convarium": {"median": 60.0}}  # fmt: skip
    older = timing | {"date": "2026-01-01", "convarium": {"median": 1.0}}
    stacked, other_batch = timing | {"members": 8}, timing | {"batch_size": 1}
    content = {
        "machine": {"processor": "Some CPU", "instructions": "AVX2"},
        "timings": [timing, older, stacked, other_batch],
    }
    write_json(tmp_path / "some-cpu.json", content)
    (tmp_path / "rates").mkdir()
    native = {"job": "vgg(depth=11)", "image": [1, 28, 28, 10]}  # on other images than the index counts it on
    write_json(tmp_path / "rates" / "some-cpu.json", content | {"timings": [timing | native]})
    rates = recorded_rates(tmp_path)
    waiting, order = findings(select(["alexnet-d2l", "larger-is-better"], catalogue()), [Store(tmp_path / "none")])
    # 5 runs of 10 epochs of 60,000 images at 60 a second
    assert expected_seconds(waiting.missing, rates) == 50_000
    assert as_json(waiting, rates)["expected_seconds"] == 50_000
    assert cost_cell(waiting, rates) == "5 runs, about 13 h 53 min"
    assert cost_cell(order, rates) == "15 runs, not known"  # VGG and LeNet have no rate
    assert rate_of(EXPERIMENTS["classics"].recipes[2], rates).network == "vgg(depth=11)"
    assert describe_rates(rates_behind([waiting, order], rates)) == (
        "costs of missing runs: images to train on / the newest recorded rate of each network "
        "(Some CPU, AVX2, 2 threads; 2026-01-02)"
    )
    assert (recorded_rates(tmp_path / "none"), describe_rates(())) == ({}, "")
    write_json(tmp_path / "broken.json", {"timings": [timing]})
    with pytest.raises(FileContentError, match=r"broken\.json is not a record of speed"):
        recorded_rates(tmp_path)


def test_claims_are_chosen_by_name_study_source_or_all():
    entries = catalogue()
    assert [e.name for e in select(["memory-on-par"], entries)] == ["memory-on-par"]
    assert {e.study.name for e in select(["tutorial5"], entries)} == {"tutorial5"}
    assert {e.study.name for e in select(["uva"], entries)} == {"tutorial5", "optimizers"}
    assert len(select(["all"], entries)) == len(select(["all", "uva"], entries)) == len(entries)
    with pytest.raises(SpecError, match="unknown claim 'memory-on-pa'; did you mean 'memory-on-par'"):
        select(["memory-on-pa"], entries)


def test_a_claim_needs_its_own_rows_and_no_others():
    ((study, values),) = studies_of(select(["lenet-d2l", "lenet-d2l-train"], catalogue()))
    assert (study.name, values) == ("classics_originals", ("lenet@d2l",))
    assert len(studies_of(select(["all"], catalogue()))) == len({e.study.name for e in catalogue().values()})


def test_what_is_measured_is_found_and_what_is_not_is_said(filled):
    entry, other = select(["memory-on-par", "residual-cnn-best"], catalogue())
    found, waiting = findings([entry, other], [Store(filled.root / "none"), filled])
    assert found.verdict.outcome == "supported"
    assert (found.verdict.n, len(found.runs), found.planned, found.seconds) == (5, 10, 20, 900)
    assert re.fullmatch(r"98\.\d+ \(98\.\d+ to 98\.\d+\) %", measured(found.verdict))
    assert cost_cell(found, {}) == "10 of 20 runs, 15 min"
    assert cost_cell(dataclasses.replace(found, planned=6), {}) == "6 runs and 4 added later, 15 min"
    assert (waiting.verdict, waiting.runs, waiting.planned) == (None, (), 5)
    assert measured(waiting.verdict) == "–"
    told = as_json(found, {})
    assert json.loads(json.dumps(told)) == told | {"claim": told["claim"]}
    assert (told["verdict"], as_json(waiting, {})["verdict"]) == ("supported", "not run yet")


def test_a_study_of_which_only_one_row_is_there_judges_the_claims_about_that_row(tmp_path):
    study = EXPERIMENTS["classics_originals"]
    store = fill(Store(tmp_path), study, lambda recipe: 0.779, only=["lenet@d2l"])
    entries = {entry.name: entry for entry in select(["classics_originals"], catalogue())}
    found = {f.entry.name: f.verdict and f.verdict.outcome for f in findings(entries.values(), [store])}
    assert found.pop("lenet-d2l") == "supported"
    assert found.pop("lenet-d2l-train") == "undecided"  # the made-up runs all have one training accuracy
    assert {name for name, outcome in found.items() if outcome} == {  # no runs
        "alexnet-is-larger", "alexnet-computes-more", "nin-is-smaller", "nin-is-smaller-than-alexnet",
    }  # fmt: skip


def test_of_two_stores_the_one_with_more_runs_speaks(filled, tmp_path):
    small = fill(Store(tmp_path), EXPERIMENTS[NAME], lambda recipe: 0.5 + 0.3 * recipe.seed, seeds=2)
    for stores in ([small, filled], [filled, small]):
        assert len(stored_comparison(NAME, stores).rows[0].runs) == 5
    assert stored_comparison("none", [filled]) is None


def test_a_damaged_run_or_study_hides_no_other_claim(tmp_path, capsys, monkeypatch):
    store = fill(Store(tmp_path), EXPERIMENTS[NAME], lambda recipe: 0.982)
    fill(store, EXPERIMENTS["classics_originals"], lambda recipe: 0.779, only=["lenet@d2l"])
    victim = store.runs_of(store.study(NAME))[0].path
    (victim / "history.jsonl").write_text("")
    (tmp_path / "studies" / "classics_originals" / "study.json").write_text("{")
    entries = select(["memory-on-par", "lenet-d2l"], catalogue())
    memory, lenet = findings(entries, [Store(tmp_path)])
    assert memory.verdict.n == 4
    assert [str(victim) in note for note in memory.left_out] == [True]
    assert memory.error is None
    assert "study.json is damaged" in str(lenet.error)
    monkeypatch.setattr("convarium.studies.reproductions.results_folder", lambda: tmp_path / "none")
    assert main(["reproduce", "--store", str(tmp_path)]) == 2
    shown = capsys.readouterr()
    assert "memory-on-par" in shown.out
    assert "A run is left out: " in shown.err
    assert "study.json is damaged" in shown.err


def test_the_records_of_a_study_are_enough_for_its_verdict_and_hold_no_weights(filled, tmp_path):
    target = Store(tmp_path / "results")
    assert record_study(NAME, filled, target) == 10
    assert record_study(NAME, filled, target) == 10
    names = {path.name for path in target.root.rglob("*") if path.is_file()}
    assert names == {f"{NAME}.json", "runs.jsonl"}
    (entry,) = select(["memory-on-par"], catalogue())
    (one,), (other,) = findings([entry], [filled]), findings([entry], [Store(target.root)])
    assert one.verdict == other.verdict
    assert Store(target.root).runs()[0].predictions() is None


def test_exporting_adds_to_what_is_there_and_a_missing_or_damaged_run_is_named(filled, tmp_path):
    target = Store(tmp_path / "results")
    half = dataclasses.replace(filled.study(NAME), keys=filled.study(NAME).keys[:4])
    (target.root / "studies").mkdir(parents=True)
    write_json(target.root / "studies" / f"{NAME}.json", dataclasses.asdict(half))
    assert target.study(NAME) == half
    record_study(NAME, filled, target)
    assert target.study(NAME).keys == filled.study(NAME).keys
    with pytest.raises(StoreError, match="no study 'none'"):
        record_study("none", filled, target)
    shutil.copytree(filled.root, tmp_path / "broken")
    broken = Store(tmp_path / "broken")
    (broken.runs()[0].path / "history.jsonl").write_text("")
    with pytest.raises(StoreError, match=r"history\.jsonl is damaged: .*; delete the folder, or run its study again"):
        record_study(NAME, broken, target)


def test_only_the_records_that_come_with_convarium_count_and_never_a_folder_that_lies_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    assert results_folder() == ROOT / "results"
    package = tmp_path / "site-packages" / "convarium"
    (package / "results").mkdir(parents=True)
    monkeypatch.setattr("convarium.studies.reproductions.__file__", str(package / "studies" / "reproductions.py"))
    assert results_folder() == package / "results"
    with pytest.raises(ConvariumError, match=r"belongs to an installed package; record results from a checkout"):
        Workspace().record_results()


@pytest.mark.parametrize(
    ("claim", "told"),
    [
        (Reproduces("a", 0.9925, source="s"), "99.25 %"),
        (Reproduces("a", 0.0431, metric="test_loss", source="s"), "0.0431 nats"),
        (ReproducesClasses("a", {"0": 0.998, "1": 0.9703}, source="s"), "97.03 to 99.8 %"),
        (Better("a", than="b", source="s"), "better"),
        (Better("a", than="b", by=0.01, source="s"), "better by over 1 point"),
        (Better("a", than="b", metric="images_per_second", source="s"), "faster"),
        (Equivalent("a", to="b", source="s"), "on a par"),
        (Ordered(["a", "b"], source="s"), "this order"),
        (Fails("a", source="s"), "fails"),
        (Collapses("a", source="s"), "one class"),
        (Collapses("a", wandering=True, source="s"), "one class, changing"),
    ],
)
def test_what_a_source_states_in_a_cell(claim, told):
    assert published(claim) == told


def test_the_page_tells_verdicts_cost_machine_seeds_commit_and_date(filled):
    text = reproductions_page(filled)
    (row,) = [line for line in text.splitlines() if line.startswith("| `memory-on-par`")]
    assert "| on a par |" in row
    assert row.endswith("| 5 | **supported** | 10 of 20 runs, 15 min |")
    assert "- `memory-on-par` supported: memory\\_mlp@memory-blog is equivalent to" in text
    assert "| `memory_vs_residual` | 10 | 0–4 | Some CPU, cpu, 2 threads, torch 2.13.0 | 0123abcdef |" in text
    assert "| 2026-01-01 to 2026-01-05 |" in text
    without_runs = [entry for entry in catalogue().values() if sizes_of(entry.study, entry.claim)]
    summary = (  # as accurate as each other: on a par, and the title's "surpasses" is undecided
        f"{len(catalogue())} claims: {1 + len(without_runs)} supported, 0 refuted, "
        f"0 not seen under the assumed recipe, 1 undecided, {len(catalogue()) - 2 - len(without_runs)} not run yet."
    )
    assert summary in text


def test_an_assumed_recipe_is_marked_wherever_the_claim_is_shown_and_what_is_assumed_is_said(call, tmp_path):
    study, name = EXPERIMENTS["shortcut_ablation"], "shortcut-changes-little"
    store = fill(Store(tmp_path), study, lambda recipe: 0.93 if "False" in recipe.model else 0.98)
    (found,) = findings(select([name], catalogue()), [store])
    outcome = "not seen under the assumed recipe"
    assumed = study.claims[name].assumed
    assert "Adam, 10 epochs" in assumed
    assert found.verdict.sentence.startswith(f"{outcome}: mnist_resnet(activation='relu') is better than")
    assert "[recipe assumed]" in repr(found)
    assert found.reason == "The report prints no number for its network without the shortcut."
    page = reproductions_page(store)
    assert f"\\[recipe assumed\\] mnist-report: {assumed}." in page
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}`")]
    assert "in test accuracy \\[recipe assumed\\] |" in row
    assert f"| **{outcome}** |" in row
    assert f" 0 refuted, 1 {outcome}, " in page
    told = as_json(found, {})
    assert (told["verdict"], told["assumed"], told["reason"]) == (outcome, assumed, found.reason)
    _, out, _ = call("--store", store.root)
    assert re.search(rf"{name} +not seen\* ", out)
    assert f"* [recipe assumed]; not seen: {outcome}" in out
    assert f"[recipe assumed] mnist-report: {assumed}" in " ".join(out.split())
    _, out, _ = call("--store", store.root, "--markdown")
    assert f"| {outcome} \\[recipe assumed\\] |" in out
    assert f"\n- \\[recipe assumed\\] mnist-report: {assumed}." in out
    section = claims_section(study, stored_comparison(study.name, [store]), ())
    assert section.assumptions == (f"[recipe assumed] mnist-report: {assumed}",)
    assert section.contradicted == {name: found.reason}
    assert section.assumptions[0] in study._repr_html_()


def test_a_refuted_claim_says_why_that_may_be(tmp_path):
    text = reproductions_page(
        fill(Store(tmp_path), EXPERIMENTS[NAME], lambda r: 0.98 if r.model.startswith("memory") else 0.95)
    )
    assert "**refuted**" in text
    assert "Why it may be: The source compares single runs by eye" in text


def test_the_page_in_the_repository_is_the_one_that_its_records_make():
    """`convarium reproduce --page` writes it; nothing in it is typed."""
    assert (ROOT / "docs" / "reproductions.md").read_text("utf-8") == reproductions_page(Store(ROOT / "results"))


def test_every_refuted_claim_of_the_repository_has_a_reason():
    found = findings(catalogue().values(), [Store(ROOT / "results")])
    refuted = [f.entry.name for f in found if f.verdict and f.verdict.outcome == "refuted"]
    assert set(refuted) <= set(REASONS)


def test_the_records_of_the_repository_are_small_and_hold_no_weights():
    files = [path for path in (ROOT / "results").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 20e6
    assert {path.suffix for path in files} <= {".json", ".jsonl", ".md"}
    assert len(Store(ROOT / "results").runs()) >= 85  # no record is ever lost


def test_numbers_as_ranges():
    assert spans([4, 0, 1, 2, 7]) == "0–2, 4, 7"


@pytest.fixture
def call(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("convarium.studies.reproductions.results_folder", lambda: tmp_path / "results")
    (tmp_path / "pyproject.toml").touch()

    def run(*argv):
        code = main(["reproduce", *map(str, argv)])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def test_the_command_lists_the_catalogue(call, filled):
    code, out, err = call("--store", filled.root)
    assert (code, err) == (0, "")
    assert all(f"\n{name} " in out for name in catalogue())
    assert max(map(len, out.splitlines())) <= 80
    code, out, _ = call("--store", filled.root, "--markdown")
    (row,) = [line for line in out.splitlines() if " memory-on-par " in line]
    assert re.search(
        r"memory-blog \| on a par \| 98\.\d+ \(98\.\d+ to 98\.\d+\) % \| 5 \| supported \| 10 of 20 runs, 15 min", row
    )
    code, out, _ = call("--store", filled.root, "--json")
    assert [row["name"] for row in json.loads(out)] == list(catalogue())


TINY = Study(
    name="tiny",
    question="Does it fail?",
    recipes=grid(Recipe(epochs=1, batch_size=256), seed=range(2), model=["lenet", "lenet(pool='avg')"]),
    claims={
        "tiny-fails": Fails("lenet", source="uva, nowhere"),
        "tiny-reproduces": Reproduces("lenet(pool='avg')", 0.99, source="uva, nowhere"),
    },
    command="convarium run tiny",
)


@pytest.fixture
def only_tiny(monkeypatch):
    monkeypatch.setattr("convarium.studies.catalogue.catalogue.__defaults__", ((TINY,),))
    monkeypatch.setitem(EXPERIMENTS, "tiny", TINY)


def test_the_command_runs_a_claim_goes_on_where_it_stopped_and_keeps_records(call, only_tiny, tmp_path):
    code, out, err = call("tiny-fails", "--device", "cpu")
    assert code == 0, err
    assert out.startswith("tiny-fails: ")
    assert "of 2 runs of lenet failed" in out
    assert "tiny: 2 runs; about" in err
    assert len(list(tmp_path.glob("runs/*/outcome.json"))) == 2
    code, out, err = call("all", "--device", "cpu", "--json")
    told = json.loads(out)
    assert [row["name"] for row in told] == ["tiny-fails", "tiny-reproduces"]
    assert "  run 2/4" in err
    assert "  run 1/4" not in err
    assert len(list(tmp_path.glob("runs/*/outcome.json"))) == 4
    code, out, _ = call("--record", "--page")
    assert code == 0
    assert f"tiny: 4 runs in {tmp_path / 'results'}" in out
    assert "`tiny-fails`: lenet fails to train" in (tmp_path / "docs" / "reproductions.md").read_text("utf-8")
    assert {path.name for path in (tmp_path / "results").rglob("*") if path.is_file()} == {"runs.jsonl", "tiny.json"}


def test_reduced_the_command_says_so_on_every_line(call, only_tiny):
    code, out, err = call("tiny-reproduces", "--quick", "--device", "cpu")
    assert code == 0, err
    assert out
    assert all(line.startswith("[reduced] ") for line in [*out.splitlines(), *err.splitlines()])
    assert "digits instead of the study's own images" in err
    assert reduced(TINY).name == "tiny-quick"


def test_what_cannot_be_run_does_not_keep_back_the_rest(call, only_tiny, monkeypatch):
    broken = dataclasses.replace(
        TINY,
        name="broken",
        recipes=grid(Recipe(dataset="folder:none"), seed=[0]),
        claims={"b": TINY.claims["tiny-fails"]},
    )
    monkeypatch.setattr("convarium.studies.catalogue.catalogue.__defaults__", ((broken, TINY),))
    code, out, err = call("all", "--device", "cpu")
    assert code == 2
    assert "b: not run yet" in out
    assert "tiny-fails: " in out
    assert "broken: " in err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["memory-on-pr"], "did you mean 'memory-on-par'"),
        (["memory-on-par", "--page"], "--record and --page take no CLAIM"),
        (["--record"], "holds none of the built-in studies; name their --store"),
    ],
)
def test_a_wrong_call_is_one_sentence_with_a_way_out(call, argv, message):
    code, out, err = call(*argv)
    assert (code, out) == (2, "")
    *signs_of_life, sentence = err.splitlines()
    assert message in sentence
    assert signs_of_life == []
