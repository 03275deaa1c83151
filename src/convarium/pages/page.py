"""The report: one HTML file that opens offline, made from a comparison alone."""

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from convarium.analysis.claims import describe, measured, published
from convarium.analysis.comparison import Comparison, formatting
from convarium.data.splits import ImageData
from convarium.pages import style
from convarium.pages.cells import answer, caption, columns, short, verdict_word
from convarium.pages.claims_section import ClaimsSection
from convarium.pages.costs import COSTS
from convarium.pages.duels import duels
from convarium.pages.forest import forest
from convarium.pages.glances import arrivals, hardest
from convarium.pages.inside import MOMENTS, SHARES, Diagnoses
from convarium.pages.inside_page import inside_page
from convarium.pages.page_charts import page_charts
from convarium.pages.predictions import calibration_errors, read_predictions
from convarium.pages.run_lists import layers, run_lists
from convarium.pages.study_status import StudyStatus, row_label, so_far, status_sentence
from convarium.pages.tables import as_csv, as_latex, as_markdown
from convarium.runs.files import write_text


def write_report(
    comparison: Comparison,
    path: Path | str,
    *,
    images: ImageData | None = None,
    status: StudyStatus | None = None,
    diagnoses: Diagnoses = (),
    claims: ClaimsSection | None = None,
) -> Path:
    """Writes the comparison's page: question, answer, table, charts, and every run with its recipe.

    The file holds all it needs: it opens without a network and asks none for anything.

    Args:
        comparison: what the page tells.
        path: of the HTML file; its folder is made where it is missing.
        images: the test split that the runs were scored on; with it, the page shows the images that divide the
            networks, else it names them by number.
        status: how far the study is; None: it is finished.
        diagnoses: of `diagnose`, one a row; with them the page has a section on what goes on inside the networks.
        claims: the claims that the study judges, and tables of its own.

    Returns:
        The path.

    Raises:
        ConvariumError: `images` are not those that the runs were scored on.
    """
    text = page(comparison, images=images, status=status, diagnoses=diagnoses, claims=claims)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return path


def page(
    comparison: Comparison,
    *,
    images: ImageData | None = None,
    status: StudyStatus | None = None,
    diagnoses: Diagnoses = (),
    claims: ClaimsSection | None = None,
) -> str:
    """The page's HTML; see `write_report`."""
    environment = Environment(
        loader=PackageLoader("convarium", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    in_progress = status.in_progress if status else ()
    labels = list(
        dict.fromkeys([row.label for row in comparison.rows] + [row_label(run, comparison) for run in in_progress])
    )
    predictions = read_predictions(comparison)
    charts = page_charts(comparison, predictions, labels, in_progress, diagnoses)
    scripts = ["reading.js", "page.js", *(["live.js"] if status and status.reload_seconds else [])]
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
        answer=answer(comparison),
        columns=columns(comparison),
        caption=caption(comparison),
        forest=forest(comparison),
        swatches=[
            Swatch(label, color, " ".join(map(str, dash)))
            for label, color, dash in zip(labels, style.colors(labels), style.dashes(labels), strict=True)
        ],
        charts=charts,
        cost_titles=COSTS,
        duels=duels(comparison, predictions, images),
        calibration_errors=calibration_errors(comparison),
        inside=inside_page(diagnoses),
        claims=claims or ClaimsSection(),
        describe=describe,
        published=published,
        measured=measured,
        verdict_word=verdict_word,
        hardest=hardest(comparison),
        arrivals=arrivals(comparison),
        moments=MOMENTS,
        shares=SHARES,
        runs=run_lists(comparison),
        networks=layers(comparison, images),
        short=short,
        data=_json({"specs": charts.specs, "tables": charts.tables, "copies": copies}),
        css=Markup(_text("page.css")),  # noqa: S704  our own file
        script=Markup("".join(map(_text, scripts))),  # noqa: S704  our own files
        library=Markup(_vega()),  # noqa: S704  Vega's own
    )


@dataclass(frozen=True)
class Swatch:
    """How a network is drawn in every chart."""

    label: str
    color: str
    dash: str


def _title(comparison: Comparison, labels: list[str]) -> str:
    if len(labels) < 2:
        return f"{labels[0] if labels else comparison.by} on {comparison.dataset}"
    if len(labels) > 4:
        labels = [*labels[:3], f"{len(labels) - 3} more"]
    return f"How do {formatting.listed(labels)} compare on {comparison.dataset}?"


@cache
def _breakable(name: str) -> Markup:
    """A network's name that a narrow column breaks before its source or its options rather than within a word."""
    return Markup(re.sub(r"(?=[@(])", "<wbr>", str(escape(name))))  # noqa: S704  (escaped)


def _vega() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script, of the version that altair writes for."""
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", version)
    return script.replace("</script", r"<\/script")


def _text(file: str) -> str:
    return (resources.files("convarium.pages") / file).read_text("utf-8")


def _json(value: Any) -> Markup:
    """JSON that cannot end the script element it stands in, whatever a class or a network is called."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  nothing that HTML could read is left in it
