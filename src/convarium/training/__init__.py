"""Training: the loop a student can read, and the step made fast."""

from convarium.training.loop import fit
from convarium.training.recording import TrainingEvent
from convarium.training.scoring import evaluate
from convarium.training.stack import fit_stack

__all__ = ["TrainingEvent", "evaluate", "fit", "fit_stack"]
