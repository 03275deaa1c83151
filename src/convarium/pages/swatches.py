"""How a network is drawn in every chart: its color, dash pattern and symbol, as the page shows them beside its name."""

from collections.abc import Sequence
from dataclasses import dataclass

from convarium.pages.chart_style import colors, dashes, symbols

_PATHS = {
    "circle": "M12 1.5a3.5 3.5 0 1 1 0 7a3.5 3.5 0 1 1 0-7z",
    "square": "M8.8 1.8h6.4v6.4h-6.4z",
    "triangle-up": "M12 0.8L16 8.6H8z",
    "diamond": "M12 0L16 5L12 10L8 5z",
    "cross": "M10.7 1h2.6v2.7h2.7v2.6h-2.7v2.7h-2.6v-2.7h-2.7v-2.6h2.7z",
}


@dataclass(frozen=True)
class Swatch:
    """How a network is drawn: `dash` is an SVG dash array, and `symbol` an SVG path in a box of 24 × 10."""

    label: str
    color: str
    dash: str
    symbol: str


def swatches(labels: Sequence[str]) -> dict[str, Swatch]:
    """One for each label, in the order of the colors."""
    return {
        label: Swatch(label, color, " ".join(map(str, dash)), _PATHS[symbol])
        for label, color, dash, symbol in zip(labels, colors(labels), dashes(labels), symbols(labels), strict=True)
    }
