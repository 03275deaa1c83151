"""Training: the loop a student can read, and the step made fast."""

from convarium.training.loop import Progress, fit

__all__ = ["Progress", "fit"]
