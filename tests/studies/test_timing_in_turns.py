"""Claims of speed from the command to the page: networks take turns, the timing is stored, and it alone judges."""

import contextlib
import dataclasses
import time

import pytest

from convarium.analysis.claims import Better, Ordered, measured
from convarium.cli import main
from convarium.errors import TimeLimitError
from convarium.recipes.recipe import Recipe
from convarium.runs import timings
from convarium.runs.environment import environment
from convarium.runs.store import Store
from convarium.runs.timings import TimedTurn, read_timings, write_timing
from convarium.studies import catalogue, reproductions, timing_in_turns
from convarium.studies.catalogue import findings, run_claims, select, studies_of
from convarium.studies.finding_cells import as_json, cost_cell
from convarium.studies.reproductions import reproductions_page
from convarium.studies.resources import Resources
from convarium.studies.study import Study, with_seeds
from convarium.training import interleaved_timing

FAST, MIDDLE, SLOW = "memory_mlp", "lenet", "residual_cnn"
RATES = {FAST: 400, MIDDLE: 200, SLOW: 100}
STARTED: list[list[str]] = []
SOURCE = "d2l, nowhere"
STUDY = Study(
    name="made",
    question="Which one is fastest?",
    recipes=with_seeds([Recipe(model=model, batch_size=32) for model in RATES], range(2)),
    baseline=FAST,
    claims={
        "one-faster": Better(FAST, than=MIDDLE, metric="images_per_second", source=SOURCE),
        "in-order": Ordered([FAST, MIDDLE, SLOW], metric="images_per_second", source=SOURCE),
        "more-accurate": Better(FAST, than=SLOW, source=SOURCE),
    },
)


@pytest.fixture
def entries(monkeypatch):
    """The claims of the study as the whole catalogue; networks take turns at RATES without training."""
    STARTED.clear()

    @contextlib.contextmanager
    def interleaved(contestants, device):
        STARTED.append(list(contestants))
        yield {name: lambda seconds, name=name: TimedTurn(RATES[name], 1.0, 1.0) for name in contestants}

    monkeypatch.setattr(interleaved_timing, "interleaved", interleaved)
    found = catalogue.catalogue([STUDY])
    monkeypatch.setattr(catalogue, "catalogue", lambda: found)
    monkeypatch.setattr(reproductions, "catalogue", lambda: found)
    monkeypatch.setattr(reproductions, "EXPERIMENTS", {STUDY.name: STUDY})
    return found


def speed_claims(entries):
    return [entries["one-faster"], entries["in-order"]]


def test_networks_take_turns_once_for_all_claims_of_a_study(entries, tmp_path):
    lines = []
    resources = Resources(Store(tmp_path), device="cpu")
    claims = speed_claims(entries)
    assert studies_of(claims) == ()
    waiting, _ = findings(claims, [resources.store])
    assert (waiting.verdict, cost_cell(waiting, {}), as_json(waiting, {})["verdict"]) == (
        None,
        "10 pairs",
        "not run yet",
    )
    assert run_claims(claims, resources, on_event=lambda event: lines.append(event.message)) == {}
    assert lines[0] == "made: timing memory_mlp, lenet and residual_cnn in turns, 10 pairs"
    assert lines[1].startswith("made: 1 of 10 pairs are timed, about ")
    one, order = findings(claims, [resources.store])
    assert one.verdict.sentence.startswith(
        "supported: memory_mlp trains 2.00 times as many images a second as lenet (95 % interval 2.00 to 2.00, 10 pairs"
    )
    assert (order.verdict.outcome, order.runs, measured(order.verdict)) == (
        "supported",
        (),
        "2.00 times (2.00 to 2.00)",
    )
    assert (as_json(one, {})["pairs"], cost_cell(one, {}), cost_cell(order, {})) == (
        10,
        "10 pairs, 20 s",
        "10 pairs, 30 s",
    )
    assert run_claims(claims, resources) == {}  # what is timed is not timed again
    assert STARTED == [[FAST, MIDDLE, SLOW]]
    (stored,) = read_timings([tmp_path], "made")
    older = dataclasses.replace(stored, environment=dataclasses.replace(stored.environment, code="older"))
    write_timing(tmp_path, older)
    run_claims(claims[:1], resources)
    assert STARTED[1:] == [[FAST, MIDDLE, SLOW]]  # the new timing replaces all of the older one
    assert read_timings([tmp_path], "made")[0].environment.code == environment("cpu").code


def test_another_recipe_is_not_judged_by_the_timing(entries, tmp_path):
    resources = Resources(Store(tmp_path), device="cpu")
    run_claims(speed_claims(entries), resources)
    other = dataclasses.replace(STUDY, recipes=tuple(dataclasses.replace(r, batch_size=64) for r in STUDY.recipes))
    (found,) = findings([dataclasses.replace(entries["one-faster"], study=other)], [resources.store])
    assert found.verdict is None


def test_the_time_ends_a_timing_without_a_record(entries, tmp_path):
    resources = Resources(Store(tmp_path), device="cpu", deadline=time.monotonic())
    with pytest.raises(TimeLimitError, match="the time was over after 0 pairs of made"):
        run_claims(speed_claims(entries), resources)
    assert not (tmp_path / timings.FOLDER).exists()


def test_what_cannot_be_read_or_timed_is_said(entries, tmp_path, monkeypatch):
    resources = Resources(Store(tmp_path), device="cpu")
    run_claims(speed_claims(entries), resources)
    (path,) = (tmp_path / timings.FOLDER).iterdir()
    path.write_text("{}", encoding="utf-8")
    (found,) = findings([entries["one-faster"]], [resources.store])
    assert found.verdict is None
    assert "is damaged" in str(found.error)
    path.unlink()
    missing = dataclasses.replace(
        STUDY, recipes=tuple(dataclasses.replace(r, dataset="cifar10") for r in STUDY.recipes)
    )
    entry = dataclasses.replace(entries["one-faster"], study=missing)
    monkeypatch.setattr(Resources, "splits", lambda *_: (_ for _ in ()).throw(catalogue.ConvariumError("no data here")))
    told = []
    errors = run_claims([entry], resources, on_event=lambda event: told.append(event.message))
    assert str(errors["made"]) == "no data here"
    assert told[-1] == "made: no data here"


def test_speed_selects_the_claims_of_speed(entries):
    assert [entry.name for entry in select(["speed"], entries)] == ["one-faster", "in-order"]


def test_the_page_and_the_records_have_the_timing(entries, tmp_path, monkeypatch):
    store, results = Store(tmp_path / "store"), tmp_path / "results"
    run_claims(speed_claims(entries), Resources(store, device="cpu"))
    monkeypatch.setattr(reproductions, "checkout_results", lambda: results)
    assert reproductions.record_builtin_studies(store) == {}
    assert read_timings([results], "made") == read_timings([store.root], "made")
    page = reproductions_page(Store(results))
    assert "| 2.00 times (2.00 to 2.00) | 10 | **supported** | 10 pairs, 20 s |" in page
    assert "`one-faster` supported: memory\\_mlp trains 2.00 times" in page


def test_a_reduced_timing_answers_nothing(tmp_path, capsys, entries, monkeypatch):
    for name in ("lenet", "alexnet", "vgg(depth=11)"):
        monkeypatch.setitem(RATES, name, 100)
    real = catalogue.EXPERIMENTS["classics"]
    monkeypatch.setattr(catalogue, "catalogue", lambda: {
        "slower": catalogue.Entry("slower", real.claims["larger-is-slower-at-28"], real)
    })  # fmt: skip
    assert main(["reproduce", "slower", "--quick", "--store", str(tmp_path), "--device", "cpu"]) == 0
    said = capsys.readouterr()
    assert "2 pairs" in " ".join(said.out.split())
    assert "judging takes 10 pairs or more" in " ".join(said.out.split())
    assert timing_in_turns.TURN_SECONDS == 1.0


def test_a_study_of_ones_own_is_timed_after_its_runs(entries, tmp_path, monkeypatch):
    resources = Resources(Store(tmp_path), device="cpu")
    assert [timing.study for timing in timing_in_turns.time_study(STUDY, resources)] == ["made"]
    assert timing_in_turns.time_study(dataclasses.replace(STUDY, name="other", claims={}), resources) == ()
    told = []
    late = dataclasses.replace(resources, deadline=time.monotonic())
    other = dataclasses.replace(STUDY, name="late")
    assert timing_in_turns.time_study(other, late, on_event=lambda event: told.append(event.notice)) == ()
    assert told[-1] == "not timed in turns: the time was over after 0 pairs of late; give it more"
    assert len(STARTED) == 2
