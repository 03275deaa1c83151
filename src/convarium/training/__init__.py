"""Training: `loop` shows how a recipe becomes an outcome, and the files beside it make its step fast, record it and
resume it. `fit` trains one run, `fit_stack` several at a time, and `evaluate` scores a network.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convarium.training.loop import fit
    from convarium.training.memory import tune_memory
    from convarium.training.parallel import fit_stack
    from convarium.training.scoring import evaluate
    from convarium.training.starting import StartWeights, read_start
    from convarium.training.state import TrainingEvent

__all__ = ["StartWeights", "TrainingEvent", "evaluate", "fit", "fit_stack", "read_start", "tune_memory"]

_MODULES = {
    "StartWeights": "starting",
    "TrainingEvent": "state",
    "evaluate": "scoring",
    "fit": "loop",
    "fit_stack": "parallel",
    "read_start": "starting",
    "tune_memory": "memory",
}


def __getattr__(name: str) -> Any:
    """Loads a public name when it is first used: `tune_memory` needs no torch."""
    if name in _MODULES:
        return getattr(import_module(f"convarium.training.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'convarium.training' has no attribute {name!r}")
