"""The report: one HTML file that opens offline, made from a comparison alone."""

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from convarium.comparison import Comparison
from convarium.report import panels, style
from convarium.report.cells import answer, caption, columns
from convarium.report.forest import forest
from convarium.report.tables import as_csv, as_latex, as_markdown


def write_report(comparison: Comparison, path: Path | str) -> Path:
    """Writes the comparison's page: question, answer, table, charts, and every run with its recipe.

    The file holds all it needs: it opens without a network and asks none for anything.

    Args:
        comparison: what the page tells.
        path: of the HTML file; its folder is made where it is missing.

    Returns:
        The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(comparison), "utf-8")
    return path


def page(comparison: Comparison) -> str:
    """The page's HTML; see `write_report`."""
    environment = Environment(
        loader=PackageLoader("convarium", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    labels = [row.label for row in comparison.rows]
    drawn = panels.panels(comparison)
    swatches = [
        Swatch(label, colour, " ".join(map(str, dash)))
        for label, colour, dash in zip(labels, style.colours(labels), style.dashes(labels), strict=True)
    ]
    copies = {
        "markdown": as_markdown(comparison),
        "csv": as_csv(comparison),
        "latex": as_latex(comparison),
    }
    return environment.get_template("page.html.j2").render(
        comparison=comparison,
        title=comparison.question or f"{comparison.by} on {comparison.dataset}",
        answer=answer(comparison),
        columns=columns(comparison),
        caption=caption(comparison),
        forest=forest(comparison),
        swatches=swatches,
        drawn=drawn,
        data=_json({"specs": drawn.specs, "data": drawn.data, "copies": copies}),
        css=Markup(_text("page.css")),  # noqa: S704  our own file
        script=Markup(_text("page.js")),  # noqa: S704  our own file
        library=Markup(_vega()),  # noqa: S704  Vega's own
    )


@dataclass(frozen=True)
class Swatch:
    """How a network is drawn in every chart."""

    label: str
    colour: str
    dash: str


def _vega() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script, of the version that altair writes for."""
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", version)
    return script.replace("</script", r"<\/script")


def _text(file: str) -> str:
    return (resources.files("convarium.report") / file).read_text("utf-8")


def _json(value: Any) -> Markup:
    """JSON that cannot end the script element it stands in, whatever a class or a network is called."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  nothing that HTML could read is left in it
