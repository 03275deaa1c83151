"""Training: `loop` shows how a recipe becomes an outcome, and the files beside it make its step fast, record it and
resume it. `fit` trains one run, `fit_stack` several at a time, and `evaluate` scores a network.
"""

from typing import TYPE_CHECKING

from convarium.lazy_names import lazy_names

if TYPE_CHECKING:
    from convarium.training.loop import fit
    from convarium.training.memory import tune_memory
    from convarium.training.parallel import fit_stack
    from convarium.training.scoring import evaluate
    from convarium.training.starting import StartWeights, read_start
    from convarium.training.state import TrainingEvent

__all__ = ["StartWeights", "TrainingEvent", "evaluate", "fit", "fit_stack", "read_start", "tune_memory"]

__getattr__ = lazy_names(
    __name__,
    {
        "loop": ("fit",),
        "memory": ("tune_memory",),
        "parallel": ("fit_stack",),
        "scoring": ("evaluate",),
        "starting": ("StartWeights", "read_start"),
        "state": ("TrainingEvent",),
    },
)
