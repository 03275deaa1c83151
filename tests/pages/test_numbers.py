"""Numbers are written as people write them, by Python and by Vega alike."""

import re

import altair as alt
import pytest
import vl_convert

from convarium.pages.chart_style import vega_config
from convarium.pages.numbers import AXIS_NUMBER, AXIS_POWER, even_ticks, log_ticks, written


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.1, "0.1"), (10, "10"), (100_000, "100,000"), (61706, "61,706"), (1.5e6, "1.5 M"), (2e9, "2 G"),
     (1e-5, "10⁻⁵"), (3e-12, "3·10⁻¹²"), (0.0005, "0.0005"), (-0.5, "−0.5")],
)  # fmt: skip
def test_python_and_vega_write_a_number_alike_and_never_in_exponents_of_e(value, text):
    assert written(value) == text
    at = alt.X("x:Q", axis=alt.Axis(values=[value], labelExpr=AXIS_POWER), scale=alt.Scale(domain=[value, value + 1]))
    spec = alt.Chart(alt.InlineData(values=[{"x": value}])).mark_point().encode(x=at).configure(**vega_config())
    assert f">{text}</text>" in vl_convert.vegalite_to_svg(spec.to_dict())


def test_the_short_expression_is_the_long_one_for_what_is_neither_tiny_nor_huge():
    values = [0, 0.0005, 0.1, 10, 1000, 61706, 100_000, 1.5e6, 2e9]
    at = alt.Axis(values=values, labelOverlap=False, labelExpr=AXIS_NUMBER)
    x = alt.X("x:Q", axis=at, scale=alt.Scale(type="symlog", domain=[0, 2e9]))
    spec = alt.Chart(alt.InlineData(values=[{"x": 1}])).mark_point().encode(x=x).configure(**vega_config())
    assert re.findall(r">([^<>]+)</text>", vl_convert.vegalite_to_svg(spec.to_dict()))[:-1] == list(
        map(written, values)
    )


def test_per_cent_has_its_space():
    y = alt.Y("y:Q", axis=alt.Axis(format="~%", values=[0.5]))
    spec = alt.Chart(alt.InlineData(values=[{"y": 0.5}])).mark_point().encode(y=y).configure(**vega_config())
    assert re.search(r">50\u00a0%</text>", vl_convert.vegalite_to_svg(spec.to_dict()))


@pytest.mark.parametrize(
    ("low", "high"), [(0.06, 3.1), (4e4, 2e6), (1e-9, 3), (82, 97), (1, 1.01), (2.0, 2.0), (7, 13)]
)
def test_logarithmic_ticks_are_few_and_within_the_axis(low, high):
    ticks = log_ticks(low, high)
    assert 1 <= len(ticks) <= 6
    assert ticks == sorted(set(ticks))
    assert all(low <= tick <= high * (1 + 1e-9) for tick in ticks)
    assert len(ticks) > 1 or low == high


@pytest.mark.parametrize(("low", "high"), [(0.744, 0.891), (0.0, 1.0), (0.9991, 0.9999), (-3, 250)])
def test_even_ticks_are_round_numbers_within_the_axis(low, high):
    ticks = even_ticks(low, high)
    assert 2 <= len(ticks) <= 5
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)
