"""What a notebook shows of each public object, in a line and as a small table."""

import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from torch import nn

import convarium
from convarium import Recipe, ReportFiles, Store, Study, Workspace, grid, load_data
from convarium.analysis.comparison import METRICS, compare_runs, metric_of
from convarium.analysis.recommendation import Choice, Recommendation
from convarium.inference import TrainedNetwork
from convarium.inference.export import Exported
from convarium.inference.export_check import Agreement, Latency
from convarium.inference.predict import Predictions, Predictor
from convarium.models.build import build_model
from convarium.notebook import MOST_ROWS, html_table, is_notebook
from convarium.pages import page
from convarium.pages.table import columns
from convarium.records import Preprocessing
from convarium.runs.listing import RunEntry
from convarium.runs.merging import Merge
from convarium.runs.removal import Removal
from convarium.studies.builtin import EXPERIMENTS
from convarium.studies.catalogue import Finding, catalogue
from convarium.studies.study import TableKind
from html_page import Reader
from made_runs import runs
from made_studies import made_study

HOSTILE = "<script>alert(1)</script> & \x1b[31m"


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    levels = {"lenet": 0.95, "residual_cnn": 0.9, "memory_mlp": None}
    return made_study(tmp_path_factory.mktemp("made"), levels, names=[*"12345678", "nine", HOSTILE], question=HOSTILE)


def used(path):
    """What the verbs return that use a network."""
    names = tuple(f"{HOSTILE} {i}" for i in range(1000))
    takes = Preprocessing(names, 1, 28, 28, "stretch", (255, 255, 255), None, None, (0.1,), (0.3,))
    trained = TrainedNetwork(build_model("resnet(depth=56)", takes.image), takes)
    probabilities = np.full((50, 1000), 0.001)
    choice = Choice(HOSTILE, ("smallest",), "run", 0.9, 0.8, 0.95, 360, 0.9, 3, 61_706, 1000.0, "convarium export run")
    exported = Exported(
        path, "onnx", 18, "images", "logits", HOSTILE, Agreement(360, 1e-6, 0), {"original": 10**6, HOSTILE: 10**6},
        (Latency(1, {"original": 1.0, HOSTILE: 2.0}),), None,
    )  # fmt: skip
    return (
        trained,
        Predictor((trained,), "the run x"),
        Predictions(tuple(map(str, range(50))), names, probabilities, unreadable={HOSTILE: HOSTILE}),
        Recommendation("digits", (choice,), (), "test", 1, 0.01, "score", "test accuracy", "s", 600, 60, (HOSTILE,)),
        exported,
    )


def changed(run):
    """What the verbs return that write files."""
    return (
        ReportFiles(run.path, (run.path,) * 40),
        RunEntry(run.path, "finished", 10, ("s",) * 40, run.key),
        Removal((run.path,), (RunEntry(run.path, "finished", 10),) * 40, {}, {}, 10),
        Merge((run,) * 40, 1, ("s",), ()),
    )


@pytest.fixture(scope="module")
def shown(comparison):
    """One of each object that a cell may end with."""
    run = comparison.rows[0].runs[0]
    study = Study(name="s", question=HOSTILE, recipes=grid(Recipe(), seed=range(100), model=["lenet", "memory_mlp"]))
    entry = next(iter(catalogue().values()))
    objects = [
        comparison, comparison.rows[0], run, run.outcome, run.outcome.test, run.recipe, study, load_data("digits"),
        load_data("digits").train, convarium.describe("lenet"), Finding(entry, None, (run,) * 50, 50, 1.0),
        Workspace(), Store(), next(iter(EXPERIMENTS.values())), *used(Path(HOSTILE)), *changed(run),
    ]  # fmt: skip
    return {type(each).__name__: each for each in objects}


def test_every_object_shows_itself_in_a_line_that_is_not_a_page(shown):
    for name, each in shown.items():
        if isinstance(each, nn.Module):  # shows its layers as every module of PyTorch does
            continue
        assert len(repr(each)) < 400, name
        assert "\x1b" not in repr(each), name
        assert " object at 0x" not in repr(each), name


def test_html_is_small_well_formed_and_escaped(shown):
    with_html = {name: each for name, each in shown.items() if hasattr(each, "_repr_html_")}
    assert set(with_html) == {
        "Comparison", "StoredRun", "Outcome", "Scores", "Study", "Splits", "Description", "TrainedNetwork",
        "Predictions", "Recommendation", "Exported",
    }  # fmt: skip
    for name, each in with_html.items():
        html = each._repr_html_()
        assert len(html) < 12_000, name
        assert "<script" not in html, name
        assert "\x1b" not in html, name
        assert "color" not in html, name  # a light theme and a dark one have their own
        assert html.count("<div>") == html.count("</div>"), name
        Reader(html)


def test_a_comparison_shows_its_question_its_answer_and_every_row(comparison):
    html = comparison._repr_html_()
    assert "&lt;script&gt;" in html
    assert html.count("<tr>") == 1 + len(comparison.rows)
    assert all(row.label in html for row in comparison.rows)


def test_a_comparison_without_rows_shows_itself_too(comparison):
    nothing = replace(comparison, rows=(), baseline=None)
    assert nothing.answer in nothing._repr_html_()
    assert len(nothing.frame().columns) == 10
    assert len(cells(nothing.latex())) == 1
    assert repr(nothing)


def test_a_long_table_says_how_many_rows_are_left_out():
    html = html_table(("a", "b"), [(i, None) for i in range(MOST_ROWS + 5)])
    assert html.count("<tr>") == MOST_ROWS + 1
    assert "and 5 more" in html


def test_a_recipe_is_shown_as_the_call_that_makes_it():
    recipe = Recipe(model="lenet(pool='avg')", epochs=3, learning_rate=0.1, validation=0, optimizer="adam")
    assert eval(repr(recipe), {"Recipe": Recipe}) == recipe
    assert "weight_decay" not in repr(recipe)


def test_a_test_is_no_notebook():
    assert not is_notebook()


# ---- the table as a frame and as documents ---------------------------------------------------------------------------


def test_the_frame_has_the_ten_columns_of_the_page_in_fractions(comparison):
    frame = comparison.frame()
    assert list(frame.columns) == [
        "network", "test_accuracy", "difference", "verdict", "validation_accuracy", "seeds", "train_seconds",
        "parameters", "flops", "images_per_second",
    ]  # fmt: skip
    by_name = frame.set_index("network")
    for row in comparison.rows:
        assert by_name.loc[row.label, "seeds"] == row.n
        if row.test:
            assert by_name.loc[row.label, "test_accuracy"] == row.test.mean <= 1


def test_counts_stay_whole_where_a_row_has_none(comparison):
    *others, last = comparison.rows
    failed = tuple(replace(run, outcome=replace(run.outcome, cost=None)) for run in last.runs)
    rows = (*others, replace(last, runs=failed))
    for what in ("table", "rows"):
        frame = replace(comparison, rows=rows).frame(what)
        for name in ("parameters", "flops"):
            assert frame[name].isna().sum() >= 1
            assert all(str(value).isdigit() for value in frame[name].dropna())


def test_a_frame_by_another_field_is_named_after_it_and_has_the_metric_that_is_compared(comparison):
    other = replace(comparison, by="learning_rate", metric="validation_loss")
    names = list(other.frame().columns)
    assert (names[0], names[-1]) == ("learning_rate", "validation_loss")


def cells(tabular):
    """The cells of a tabular, row by row, which is checked for its form."""
    lines = [line for line in tabular.splitlines() if not line.startswith("%")]
    assert re.fullmatch(r"\\begin\{tabular\}\{[lr]+\}", lines[0])
    assert lines[-1] == r"\end{tabular}"
    assert [line for line in lines if line.endswith("rule")] == [r"\toprule", r"\midrule", r"\bottomrule"]
    width = len(lines[0].split("{")[2].rstrip("}"))
    rows = [re.split(r"(?<!\\)&", line.removesuffix(r"\\")) for line in lines[1:-1] if not line.endswith("rule")]
    for row in rows:
        assert len(row) == width
        for cell in row:
            bare = re.sub(r"\\[&%$#_{}]", "", cell)
            assert bare.count("{") == bare.count("}")
            assert bare.count("$") % 2 == 0
            assert not re.search(r"[&%#_^~]", bare), cell
    return [[cell.strip() for cell in row] for row in rows]


def test_latex_is_balanced_escaped_and_says_what_it_needs(comparison):
    text = comparison.latex(labels={"lenet": "a_b & {c} 100 % #1 ~ ^ \\x $"})
    assert text.startswith(r"% needs \usepackage{booktabs}")
    assert len(cells(text)) == 1 + len(comparison.rows)


def test_latex_has_the_best_mean_in_bold_where_the_verdicts_say_that_it_is_better():
    def bold(first, second, third, reason=""):
        groups = zip(("lenet", "residual_cnn", "memory_mlp"), (first, second, third), strict=True)
        comparison = compare_runs([run for model, accuracies in groups for run in runs(model, accuracies)])
        table = cells(comparison.latex(columns=["verdict", "test", "network"]))
        assert not any(r"\textbf" in row[0] + row[2] for row in table)
        assert (f"% Bold: the best mean. The verdicts say that {reason}." in comparison.latex()) == (reason != "")
        return [row[2] for row in table if r"\textbf" in row[1]]

    high, low, failed = [0.95, 0.951, 0.949], [0.8, 0.801, 0.799], [None, None, None]
    better, worse = "it is better than that of lenet", "all others are worse"
    assert bold(low, high, failed, better) == ["residual\\_cnn"]
    assert bold(high, low, low, worse) == bold(high, low, failed, worse) == ["lenet"]
    assert bold(low, high, high, better) == ["residual\\_cnn", "memory\\_mlp"]
    assert bold(high, high, low) == bold(high, failed, failed) == []
    no_bold = compare_runs(runs("lenet", low) + runs("residual_cnn", high)).latex(columns=["network"])
    assert "bold" not in no_bold.lower()


def test_documents_have_the_columns_that_are_asked_for_in_their_order(comparison):
    assert cells(comparison.latex(columns=["verdict", "network"]))[0] == ["verdict", "network"]
    assert "| verdict | network |" in comparison.markdown(columns=["verdict", "network"])
    assert comparison.csv(columns=["label", "n"]).splitlines()[0] == "label,n"
    for write in (comparison.latex, comparison.markdown, comparison.csv):
        with pytest.raises(convarium.ConvariumError, match="column"):
            write(columns=["accuracies"])
    with pytest.raises(convarium.ConvariumError, match="no column to write"):
        comparison.latex(columns=[])


def test_a_label_replaces_a_name_everywhere_and_no_part_of_another(tmp_path):
    pools = made_study(tmp_path, {"lenet": 0.95, "lenet(pool='avg')": 0.9}, seeds=2)
    for text in (pools.markdown(labels={"lenet": "Net"}), pools.csv(labels={"lenet": "Net"})):
        assert "Net" in text
        assert "lenet(pool='avg')" in text.replace("\\", "")
        assert not re.search(r"lenet(?!\(pool)", text)
    with pytest.raises(convarium.ConvariumError, match="unknown row"):
        pools.latex(labels={"resnet": "x"})
    with pytest.raises(convarium.ConvariumError, match="two rows would have the name 'Net'"):
        pools.latex(labels={"lenet": "Net", "lenet(pool='avg')": "Net"})


def test_a_comparison_writes_its_page_and_draws_its_charts(comparison, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "_vega", str)  # the scripts that draw charts take seconds to bundle
    written = comparison.report(tmp_path / "new" / "page.html")
    assert written.read_text("utf-8").startswith("<!")
    assert comparison.chart("accuracy").to_dict()["$schema"].endswith(".json")
    with pytest.raises(convarium.ConvariumError, match="expected one of curves, "):
        comparison.chart("curve")


def test_help_names_the_charts_tables_metrics_and_columns(comparison):
    shown = columns(replace(comparison, metric="test_loss"))
    from convarium.analysis.comparison.frames import _FRAMES
    from convarium.pages.figures import FIGURES

    assert all(f'"{name}"' in convarium.Comparison.chart.__doc__ for name in FIGURES if "-" not in name)
    assert all(f'"{name}"' in convarium.Comparison.frame.__doc__ for name in _FRAMES)
    assert all(f'"{name}"' in metric_of.__doc__ for name in METRICS)
    assert all(f'"{name}"' in Study.__doc__ for name in get_args(TableKind))
    assert all(f'"{"network" if c.key == "label" else c.key}"' in convarium.Comparison.latex.__doc__ for c in shown)
