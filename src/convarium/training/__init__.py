"""Training: `loop` shows how a recipe becomes an outcome, and the files beside it make its step fast, record it and
resume it. `fit` trains one run, `fit_stack` several at a time, and `evaluate` scores a network.
"""

from convarium.training.loop import fit
from convarium.training.parallel import fit_stack
from convarium.training.scoring import evaluate
from convarium.training.state import TrainingEvent

__all__ = ["TrainingEvent", "evaluate", "fit", "fit_stack"]
