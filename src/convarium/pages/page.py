"""The report: one HTML file that opens without a network connection, made from a comparison alone."""

import re
from functools import cache
from importlib import resources
from pathlib import Path

import altair as alt
import vl_convert
from jinja2 import Environment
from markupsafe import Markup, escape

from convarium.analysis.claims import describe, measured, published
from convarium.analysis.comparison import Comparison, formatting, metric_of
from convarium.diagnostics import Diagnoses
from convarium.disk import write_text
from convarium.models.layer_tables import short_count
from convarium.pages.chart_style import dark_rules
from convarium.pages.claims_section import ClaimsSection
from convarium.pages.class_charts import MOST_LINES
from convarium.pages.class_scores import class_scores
from convarium.pages.contents import contents
from convarium.pages.cost_panel import COSTS
from convarium.pages.diagnostics_section import MOMENTS, SHARES, diagnostics_section
from convarium.pages.difference_plot import PLOT_WIDTH, difference_plot
from convarium.pages.disagreements import TestImages, disagreements
from convarium.pages.explained_section import SENTENCES
from convarium.pages.exports import as_csv, as_latex, as_markdown
from convarium.pages.highlights import epochs_to_level, first_and_last, hardest_classes
from convarium.pages.mistakes import confident_mistakes
from convarium.pages.names import breakable
from convarium.pages.numbers import written
from convarium.pages.packing import pack
from convarium.pages.page_charts import PAGE_STYLE, page_charts
from convarium.pages.prediction_charts import FEWEST_PREDICTIONS
from convarium.pages.predictions import calibration_errors, read_predictions
from convarium.pages.reading import reading_example
from convarium.pages.runs_section import network_layers, runs_section
from convarium.pages.script_data import script_json
from convarium.pages.study_status import StudyStatus, row_label, so_far, status_sentence
from convarium.pages.swatches import swatches
from convarium.pages.table import caption, columns, primary_column
from convarium.pages.templating import templates

_MOST_UNFOLDED = 6
"""A section with more networks, verdicts or failed runs than this lists them in a part that is opened."""


def write_report(
    comparison: Comparison,
    path: Path | str,
    *,
    test_images: TestImages | None = None,
    status: StudyStatus | None = None,
    diagnoses: Diagnoses = (),
    claims: ClaimsSection | None = None,
) -> Path:
    """Writes the report of a comparison: question, answer, table, charts, and every run with its recipe.

    The file contains everything that it needs: it opens without a network connection and makes no requests.

    Args:
        comparison: the comparison that is reported.
        path: path of the HTML file; its folder is created if it does not exist.
        test_images: (n, c, h, w) uint8 pixels and (n,) labels of the test split that the runs were scored on. With
            them, the page shows the images that the networks classify differently; otherwise it gives their numbers.
        status: how far the study is; None: it is finished.
        diagnoses: the result of `diagnose`, one entry for each row; with them, the page has a section of diagnostics.
        claims: the verdicts on the study's claims, and the study's own tables.

    Returns:
        The path.

    Raises:
        ConvariumError: `test_images` are not the images that the runs were scored on.
    """
    text = render(comparison, test_images=test_images, status=status, diagnoses=diagnoses, claims=claims)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return path


def render(
    comparison: Comparison,
    *,
    test_images: TestImages | None = None,
    status: StudyStatus | None = None,
    diagnoses: Diagnoses = (),
    claims: ClaimsSection | None = None,
) -> str:
    """The HTML of the report; the arguments are those of `write_report`."""
    environment = _environment()
    in_progress = status.in_progress if status else ()
    ranked, shown = comparison.ranked, columns(comparison)
    labels = [row.label for row in comparison.rows]
    labels = list(dict.fromkeys(labels + [row_label(run, comparison) for run in in_progress]))
    predictions = read_predictions(comparison)
    charts = page_charts(comparison, predictions, labels, in_progress=in_progress, diagnoses=diagnoses)
    scripts = ["restore.js", "page.js", *(["live.js"] if status and status.reload_seconds else [])]
    tables = {
        name: {key: pack(column) for key, column in columns_of.items()} for name, columns_of in charts.tables.items()
    }
    copies = {
        "command": comparison.command,
        "markdown": as_markdown(comparison),
        "csv": as_csv(comparison),
        "latex": as_latex(comparison),
    }
    return environment.get_template("page.html.j2").render(
        comparison=comparison,
        title=comparison.question or _title(comparison, labels),
        status=status,
        status_sentence=status_sentence(status, comparison) if status else "",
        so_far=so_far if status else str,
        answer=comparison.answer,
        rows=ranked,
        columns=shown,
        primary=primary_column(shown),
        caption=caption(comparison),
        initial_order="descending" if metric_of(comparison.metric).higher_is_better else "ascending",
        icon=_read("icon.svg"),
        plot=difference_plot(comparison, ranked),
        plot_width=PLOT_WIDTH,
        swatches=swatches(labels),
        contents=contents,
        most_unfolded=_MOST_UNFOLDED,
        has_class_table=len(labels) > MOST_LINES,
        charts=charts,
        cost_titles=COSTS,
        written=written,
        disagreements=disagreements(comparison, predictions, test_images),
        mistakes=confident_mistakes(predictions, test_images),
        reading_example=reading_example(comparison),
        class_scores=class_scores(comparison, charts.shown_classes),
        fewest_predictions=FEWEST_PREDICTIONS,
        calibration_errors=calibration_errors(comparison),
        diagnostics=diagnostics_section(diagnoses),
        claims=claims or ClaimsSection(),
        describe=describe,
        published=published,
        measured=measured,
        hardest_classes=hardest_classes(comparison),
        epochs_to_level=epochs_to_level(comparison),
        first_and_last=first_and_last,
        explained_sentences=SENTENCES,
        moments=MOMENTS,
        shares=SHARES,
        runs=runs_section(comparison),
        networks=network_layers(comparison, test_images),
        short_count=short_count,
        data=script_json({"config": PAGE_STYLE, "specs": charts.specs, "tables": tables, "copies": copies}),
        css=Markup(_read("page.css") + dark_rules()),  # noqa: S704  our own file
        script=Markup("".join(map(_read, scripts))),  # noqa: S704  our own files
        library=Markup(_vega()),  # noqa: S704  Vega's own
    )


@cache
def _environment() -> Environment:
    """The templates of the report, with its filters."""
    environment = templates("pages/templates")
    environment.filters["breakable"] = breakable
    environment.filters["tied"] = _tied
    environment.filters["with_whole_flags"] = _with_whole_flags
    return environment


def _title(comparison: Comparison, labels: list[str]) -> str:
    if len(labels) < 2:
        return f"{labels[0] if labels else comparison.by} on {comparison.dataset}"
    return f"How do {formatting.listed_briefly(labels)} compare on {comparison.dataset}?"


def _tied(sentence: str) -> Markup:
    """A sentence in which no line ends between a number and its unit, after the sign that belongs to it, or in a flag
    of the command line; a long name may be broken.
    """
    tied = re.sub(r"(?<=\d) (?=(?:%|points?|seeds?|runs?|epochs?|s|min)(?!\w))|(?<=±) | (?=±)", "\u00a0", sentence)
    return _with_whole_flags(breakable(tied))


def _with_whole_flags(text: str) -> Markup:
    """A text in which no line ends within a flag of the command line."""
    flag = r'<span class="flag">\g<0></span>'
    return Markup(re.sub(r"(?<!\S)--[a-z][a-z-]*(?: \d+)?", flag, str(escape(text))))  # noqa: S704  (escaped)


@cache
def _vega() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script, in the version that altair writes for.

    It is kept, since it takes as long to make as the rest of a page, which `--live` writes after every epoch.
    """
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", version)
    return script.replace("</script", r"<\/script")


def _read(file: str) -> str:
    return (resources.files("convarium.pages") / "templates" / file).read_text("utf-8")
