"""The colors, dashes and symbols that tell networks apart."""

import itertools

import numpy as np

from convarium.pages.chart_style import (
    COLORS,
    DARK_COLORS,
    DASHES,
    ROUND,
    SYMBOLS,
    colors,
    dark_rules,
    dashes,
    page_color,
    symbols,
)
from convarium.pages.swatches import swatches

VISION = {  # Machado et al. 2009, severity 1.0, on linear RGB
    "usual": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
TO_CONES = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip
TO_OKLAB = [[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.808675766]]  # fmt: skip
"""Ottosson 2020, OKLab."""


def linear(color: str) -> np.ndarray:
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def seen(color: str, vision: str) -> np.ndarray:
    return TO_OKLAB @ np.cbrt(TO_CONES @ np.clip(VISION[vision] @ linear(color), 0, 1))


def contrast(one: str, other: str) -> float:
    """That of WCAG 2."""
    low, high = sorted(float([0.2126, 0.7152, 0.0722] @ linear(color)) for color in (one, other))
    return (high + 0.05) / (low + 0.05)


def test_twelve_colors_are_told_apart_with_any_color_vision():
    """No two are nearer than the nearest two of Okabe and Ito's: their green and purple, for a deuteranope."""

    def nearest(some):
        return min(
            np.linalg.norm(seen(one, vision) - seen(other, vision))
            for one, other in itertools.combinations(some, 2)
            for vision in VISION
        )

    assert nearest(COLORS) == nearest(COLORS[:ROUND]) > 0.07
    assert nearest(DARK_COLORS) >= nearest(COLORS[:ROUND])
    assert nearest([COLORS[2], "#8A8A8A"]) < 0.03  # green and gray are one for a deuteranope


def test_colors_are_seen_on_white_and_on_a_dark_page():
    for color in COLORS:
        assert contrast(color, "#ffffff") > 2.2, color
    for color, ground in itertools.product(DARK_COLORS, ("#14181c", "#191e23")):  # page, and card of the play page
        assert contrast(color, ground) >= 3, color


def test_a_dark_page_has_the_dark_colors_on_the_screen_alone():
    rules = dark_rules()
    assert rules.startswith("@media screen and (prefers-color-scheme: dark)")
    for color, dark in zip(COLORS, DARK_COLORS, strict=True):
        assert (f'svg [stroke="{color}" i] {{ stroke: {dark}; }}' in rules) == (color != dark)
        name = page_color(color).removeprefix("var(").split(",")[0]
        assert (f"{name}: {dark};" in rules) == (color != dark)


def test_sixty_networks_are_told_apart_and_so_is_each_round_without_colors():
    names = [str(i) for i in range(len(DASHES) * len(COLORS))]
    drawn = list(zip(colors(names), map(tuple, dashes(names)), symbols(names), strict=True))
    assert len(set(drawn[: len(COLORS)])) == len(set(colors(names))) == len(COLORS) == 2 * ROUND
    assert len({(color, dash) for color, dash, _ in drawn}) == len(names) == 60
    assert len({(dash, symbol) for _, dash, symbol in drawn}) == len(DASHES) == len(SYMBOLS)
    shown = swatches(names).values()
    assert len({(swatch.dash, swatch.symbol) for swatch in shown}) == len(SYMBOLS)
