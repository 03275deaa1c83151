"""How numbers are written in charts: 0.1, 10, 100,000, 2.5 M, 10⁻⁷, 91.3 %, never 1e+05 and never 100m for a tenth."""

import math

LOCALE = {"number": {"decimal": ".", "thousands": ",", "grouping": [3], "currency": ["", ""], "percent": "\u00a0%"}}
"""Vega's locale for numbers: a space that does not break stands before the sign of per cent."""

_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_LARGE, _SMALL = 1e6, 1e-4
"""From here up a number is in millions or billions, and below this it is a power of ten."""


def written(value: float) -> str:
    """A number in at most three digits, or all digits of its whole part below a million.

    Args:
        value: finite.
    """
    size = abs(value)
    if size == 0 or _SMALL <= size < _LARGE:
        decimals = 0 if size == 0 else max(0, 2 - math.floor(math.log10(size)))
        text = f"{value:,.{decimals}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    elif size >= _LARGE:
        suffix, unit = (" G", 1e9) if size >= 1e9 else (" M", 1e6)
        text = f"{value / unit:,.3g}" + suffix if size < 1e12 else _power(value)
    else:
        text = _power(value)
    return text.replace("-", "−")


def number_expression(value: str, *, powers: bool = True) -> str:
    """A Vega expression that writes a number as `written` does, with up to six decimals.

    Args:
        value: the expression of the number, such as "datum.value".
        powers: whether the number may be so small or so large that it is a power of ten; without them the expression
            is short.
    """
    plain = (
        f"abs({value}) < {_LARGE:.0f} ? format({value}, ',.6~f') : abs({value}) < 1e9 ? "
        f"format({value} / 1e6, ',.3~f') + ' M' : format({value} / 1e9, ',.3~f') + ' G'"
    )
    if not powers:
        return plain
    exponent = f"floor(log(abs({value})) / LN10 + 1e-9)"
    mantissa = f"{value} / pow(10, {exponent})"
    digit = f"'{_SUPERSCRIPTS}'"
    places = f"abs({exponent})"
    tens = f"({places} >= 10 ? substring({digit}, floor({places} / 10), floor({places} / 10) + 1) : '')"
    ones = f"substring({digit}, {places} % 10, {places} % 10 + 1)"
    times = f"(abs({mantissa} - 1) < 1e-6 ? '' : format({mantissa}, '.2~f') + '·')"
    power = f"{times} + '10' + ({exponent} < 0 ? '⁻' : '') + {tens} + {ones}"
    is_plain = f"{value} === 0 || (abs({value}) >= {_SMALL:.4f} && abs({value}) < 1e12)"
    return f"{is_plain} ? ({plain}) : {power}"


AXIS_NUMBER, AXIS_POWER = number_expression("datum.value", powers=False), number_expression("datum.value")
"""The `labelExpr` of an axis of numbers, and of one that may span many powers of ten."""


def log_ticks(low: float, high: float, *, most: int = 6) -> list[float]:
    """Positions of labels on a logarithmic axis: powers of ten, or 1, 2 and 5 times them, or even steps.

    Args:
        low, high: the positive ends of the axis.
        most: the largest number of labels.

    Returns:
        At least two positions within the axis, unless it has no width.
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
        found = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        inside = [float(f"{value:.2g}") for value in found if low <= value <= high]
        if len(inside) >= 3:
            return inside[:: math.ceil(len(inside) / most)]
    return even_ticks(low, high, most=most)


def even_ticks(low: float, high: float, *, most: int = 5) -> list[float]:
    """Positions of labels from `low` to `high` in even steps of 1, 2 or 5 times a power of ten, at most `most`."""
    span = high - low
    if span <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / most))
    for step in (part * power for part in (1, 2, 5, 10)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            return [float(f"{step * i:.10g}") for i in range(first, last + 1)] or [low]
    return [low, high]


def _power(value: float) -> str:
    exponent = math.floor(math.log10(abs(value)) + 1e-9)
    mantissa = float(f"{value / 10.0**exponent:.2g}")
    digits = "".join(_SUPERSCRIPTS[int(digit)] for digit in str(abs(exponent)))
    return ("" if mantissa == 1 else f"{mantissa:g}·") + "10" + ("⁻" if exponent < 0 else "") + digits
