"""What the TensorBoard files of a run's folder tell."""

from collections import Counter
from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader


def told(folder: Path) -> Counter:
    """How often each value is told, by tag and step, and the graph."""
    counted = Counter()
    for file in sorted(folder.glob("*tfevents*")):
        for event in LegacyEventFileLoader(str(file)).Load():
            counted.update((value.tag, event.step) for value in event.summary.value)
            if event.WhichOneof("what") == "graph_def":
                counted["graph", 0] += 1
    return counted


def of_epochs(counted: Counter, tag: str = "validation/accuracy") -> dict[int, int]:
    """How often each epoch is told."""
    return {step: times for (name, step), times in sorted(counted.items()) if name == tag}
