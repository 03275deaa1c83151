"""The learning rate as a pure function of the step, so that a schedule has no state to checkpoint or to resume."""

import math
from typing import Any

from convarium.errors import SpecError
from convarium.spec import Spec, parse, unknown

_OPTIONS: dict[str, dict[str, Any]] = {
    "constant": {},
    "steps": {"milestones": None, "gamma": 0.1},
    "cosine": {},
    "one_cycle": {"rise": 0.3},
}


def parse_schedule(text: str) -> Spec:
    """Reads a schedule and fills in its options.

    constant
    steps(milestones, gamma=0.1): the rate is multiplied by gamma after each milestone, counted in epochs
    cosine: half a cosine from the full rate to 0, step by step (Loshchilov and Hutter 2017, without restarts)
    one_cycle(rise=0.3): from 1/25 of the rate up to it over `rise` of all steps, then down to 1/250,000, each half a
        cosine (Smith and Topin 2018, as torch.optim.lr_scheduler.OneCycleLR without cycling the momentum)

    Raises:
        SpecError: no such schedule, or options that it does not take.
    """
    given = parse(text)
    if given.name not in _OPTIONS or given.tag:
        raise unknown("schedule", given.label, _OPTIONS)
    options = dict(zip(_OPTIONS[given.name], given.args, strict=False)) | dict(given.options)
    for option in options:
        if option not in _OPTIONS[given.name]:
            raise unknown(f"option of {given.name}", option, _OPTIONS[given.name] or ["no option at all"])
    if len(given.args) > len(_OPTIONS[given.name]):
        raise SpecError(f"{given.name} takes {len(_OPTIONS[given.name])} options", received=text)
    options = _OPTIONS[given.name] | options
    if given.name == "steps":
        _check_steps(options)
    if given.name == "one_cycle" and not (isinstance(options["rise"], float) and 0 < options["rise"] < 1):
        raise SpecError(
            "rise of one_cycle is out of range", expected="a share between 0 and 1", received=options["rise"]
        )
    return Spec(given.name, options=options)


def rate_factor(schedule: Spec, step: int, *, steps_per_epoch: int, epochs: int, warmup: int = 0) -> float:
    """The factor by which the recipe's learning rate is multiplied at one step.

    Args:
        schedule: from `parse_schedule`.
        step: counted from 0 over all epochs.
        steps_per_epoch: steps an epoch.
        epochs: number of epochs of the run.
        warmup: epochs in which the factor rises linearly to that of the schedule.
    """
    total = steps_per_epoch * epochs
    rise = min(1.0, (step + 1) / (warmup * steps_per_epoch)) if warmup else 1.0
    match schedule.name:
        case "steps":
            passed = sum(step >= milestone * steps_per_epoch for milestone in schedule.options["milestones"])
            return rise * math.pow(schedule.options["gamma"], passed)
        case "cosine":
            start = warmup * steps_per_epoch
            return rise * _half_cosine(1.0, 0.0, max(0, step - start) / max(1, total - start))
        case "one_cycle":
            peak = float(schedule.options["rise"]) * total - 1
            if step <= peak:
                return _half_cosine(1 / 25, 1.0, step / peak if peak else 1.0)  # the first step may be the peak
            return _half_cosine(1.0, 1 / 250_000, (step - peak) / (total - 1 - peak))
        case _:
            return rise


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def _check_steps(options: dict[str, Any]) -> None:
    milestones, gamma = options["milestones"], options["gamma"]
    if not isinstance(milestones, tuple) or not all(isinstance(m, int) and m > 0 for m in milestones) or not milestones:
        raise SpecError(
            "milestones of steps", expected="a list of epochs, such as milestones=[100, 150]", received=milestones
        )
    if not isinstance(gamma, (int, float)) or not 0 < gamma <= 1:
        raise SpecError("gamma of steps is out of range", expected="a factor above 0 and at most 1", received=gamma)
