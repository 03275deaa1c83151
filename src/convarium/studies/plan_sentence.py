"""What a plan says before a study trains: its runs, the time for them, and what its seeds can and cannot show."""

from dataclasses import dataclass, field

from convarium import kernels
from convarium.analysis.comparison import METRICS, formatting
from convarium.analysis.comparison.formatting import count, duration
from convarium.studies.events import Expected
from convarium.studies.spreads import Spreads


@dataclass(frozen=True, repr=False)
class Plan:
    """What lies ahead of a study.

    Attributes:
        runs: planned, those in the store included.
        missing: still to be trained.
        seeds: of the compared value that has the fewest.
        smallest: least difference between two compared values that so many seeds resolve with 80 % power, in standard
            deviations between seeds; None where there are too few seeds, or one value, or no deviation that decides.
        seconds: for what is missing, from a timed start of each network's first epoch; None where that failed.
        kernels: those that will compute the training steps on a CPU, as in `Environment`; None on other devices.
        workers: how many runs train at the same time.
        spreads: of networks that the store has, which say how large that difference is; None where it has too few.
        limits: one sentence for each thing that is asked and that so many seeds can never show, see `limits_of`.
        expected: what each missing run takes, for those who follow the training; None where that is not known.
    """

    runs: int
    missing: int
    seeds: int
    smallest: float | None
    seconds: float | None
    kernels: str | None = None
    workers: int = 1
    spreads: Spreads | None = None
    limits: tuple[str, ...] = ()
    expected: Expected | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        """The plan in one line, as it is told before training."""
        return f"Plan: {describe_plan(self)}"


def describe_plan(plan: Plan) -> str:
    """A plan in a line: "20 runs; about 12 min to go; PyTorch's kernels. With 10 seeds, only differences above …"."""
    parts = [count(plan.runs, "run")]
    if plan.missing < plan.runs:
        parts.append(f"{plan.runs - plan.missing} in the store" if plan.missing else "all in the store")
    if plan.missing and plan.seconds is not None:
        together = f" with {plan.workers} workers" if plan.workers > 1 else ""
        parts.append(f"about {duration(plan.seconds)} to go{together}")
    if plan.missing and plan.kernels is not None:
        parts.append("PyTorch's kernels" if plan.kernels == kernels.TORCH else f"kernels {plan.kernels}")
    sentences = ["; ".join(parts) + "."]
    if plan.smallest is not None:
        resolved = (
            f"With {count(plan.seeds, 'seed')}, only differences above {plan.smallest:.1f} times the seed-to-seed "
        )
        sentences.append(f"{resolved}spread will show{_in_points(plan.smallest, plan.spreads)}.")
    elif plan.seeds < 2 and not plan.limits:
        sentences.append("One seed decides nothing.")
    return " ".join([*sentences, *plan.limits])


def _in_points(smallest: float, spreads: Spreads | None) -> str:
    """How large that is, by the spread of networks that the store has: ", here above 0.2 to 0.5 points (…)"."""
    if spreads is None:
        return ""
    metric, ends = METRICS["test_accuracy"], [smallest * spreads.low, smallest * spreads.high]
    low, high = formatting.amounts(metric, ends, ends[0])
    range_ = f"{low} to {high}" if low != high else low
    networks = (
        "of this study's stored runs"
        if spreads.own
        else f"of {count(spreads.networks, 'stored network')} on the same data"
    )
    return f": {range_} points with the spread {networks}"
