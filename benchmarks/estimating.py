"""Does the time that a study announces before it trains hold? It is measured for four, each in a new process."""

import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

Rows = list[dict[str, str | int | float]]

STUDIES = {
    "make demo": "memory_mlp residual_mlp residual_cnn lenet --dataset digits --seeds 5",
    "one short run": "lenet --dataset digits --seeds 1 --epochs 2",
    "many images, one epoch": "lenet memory_mlp --dataset fashion_mnist --seeds 2 --epochs 1",
    "deep networks": "'plain(depth=56)' 'resnet(depth=56)' --dataset digits --seeds 2 --epochs 2",
}


def announced() -> Rows:
    """The seconds that the plan announces, and those from the plan to the written page."""
    rows: Rows = []
    for name, words in STUDIES.items():
        with tempfile.TemporaryDirectory() as store:
            command = [sys.executable, __file__, *shlex.split(words), "--store", store, "--json"]
            told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
        expected, took = json.loads(told)
        rows.append({"study": name, "announced, s": expected, "took, s": took, "took / announced": took / expected})
    return rows


def _compare(words: list[str]) -> tuple[float, float]:
    """Runs `convarium compare`: what its plan announces, and the seconds from there to the end."""
    from convarium.cli import main
    from convarium.studies.events import StudyEvent
    from convarium.workspace import Workspace

    told: list[tuple[float, float]] = []
    compare = Workspace.compare

    def watched(self: Workspace, *models: Any, on_event: Callable[[StudyEvent], None], **settings: Any) -> Any:
        def listen(event: StudyEvent) -> None:
            if event.expected is not None:
                told.append((event.expected.total, time.perf_counter()))
            on_event(event)

        return compare(self, *models, on_event=listen, **settings)

    Workspace.compare = watched  # type: ignore[method-assign]
    code = main(["compare", *words])
    ((expected, began),) = told
    took = time.perf_counter() - began
    if code:
        sys.exit(code)
    return expected, took


if __name__ == "__main__":
    measured = _compare(sys.argv[1:])
    sys.stdout.write(json.dumps(measured) + "\n")
