"""What a comparison says of single runs: how they ended, on what they were trained, what a reader must know of them."""

from collections.abc import Sequence

from convarium.analysis.comparison.formatting import count
from convarium.analysis.comparison.metrics import Metric
from convarium.records import Environment
from convarium.runs.store import StoredRun

SELECTED_ON_VALIDATION = "selected on validation"


def hardware_label(environment: Environment) -> str:
    """Describes the part of an environment that decides speed."""
    stack = f", {len(environment.stack)} runs stacked" if environment.stack else ""
    device = f"{environment.device}, {count(environment.threads, 'thread')}"
    device += f" in each of {environment.workers} workers" if environment.workers > 1 else ""
    engine = "" if environment.engine == "native" else f", {environment.engine}"
    model = f" ({environment.processor_model})" if environment.processor_model else ""
    return f"{environment.processor}{model}, {device}, torch {environment.torch}{_kernels(environment)}{stack}{engine}"


def _kernels(environment: Environment) -> str:
    """Names the kernels of a CPU, where there is a choice and it was recorded."""
    if environment.device != "cpu" or environment.kernels is None:
        return ""
    return ", PyTorch's kernels" if environment.kernels == "torch" else f", kernels {environment.kernels}"


def status(run: StoredRun) -> str:
    """How a run ended: "trained", "at chance", "diverged" or "failed"."""
    if run.outcome.status != "finished":
        return run.outcome.status
    return "at chance" if run.outcome.is_at_chance else "trained"


def marks_of(runs: Sequence[StoredRun], metric: Metric) -> tuple[str, ...]:
    """Returns the warnings that a reader of a verdict on these results needs: "test watched", "selected on test", or,
    for results on the validation images, "selected on validation".
    """
    on_same = metric.on_validation and any(run.recipe.select == "best_validation" for run in runs)
    watched = any(run.recipe.watch_test for run in runs)
    selected = metric.chosen_on_test or any(run.recipe.select == "best_test" for run in runs)
    return ("test watched",) * watched + ("selected on test",) * selected + (SELECTED_ON_VALIDATION,) * on_same
