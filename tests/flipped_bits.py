"""Flips bits in the files of a stored run and asks what the run says: a change is named, or it changes no answer."""

import dataclasses
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from convarium.errors import StoreError
from convarium.runs.store import Store


def answers_of(run_folder: Path) -> tuple[object, ...]:
    """All that a stored run says, read anew from its files and in a form that can be compared."""
    run = Store(run_folder.parent.parent).run(str(run_folder))
    run.verify()
    arrays = [*(run.predictions() or ()), *(run.steps() or ())]
    weights = run.weights() or {}
    return (
        run.key,
        run.recipe,
        repr(dataclasses.replace(run.outcome, network=None)),
        [array.tobytes() for array in arrays],
        run.predicted(),
        run.network(),
        run.model_facts(),
        {name: tensor.numpy().tobytes() for name, tensor in weights.items()},
    )


def flip_bits(
    run_folder: Path, positions: int, *, seed: int = 0, answers: Callable[[Path], object] = answers_of
) -> Counter[str]:
    """Flips a bit at random positions of each file of a run, except TensorBoard's, and puts every file back.

    Args:
        run_folder: a sealed run in a store.
        positions: in each file.
        seed: of the random positions.
        answers: what is asked of the run; it reads the files anew.

    Returns:
        How many changes were "named" by a StoreError that has the file's name, and how many changed no answer.

    Raises:
        AssertionError: a change was believed, or was answered by an error that does not name the file.
    """
    generator = random.Random(seed)
    expected, counts = answers(run_folder), Counter[str]()
    for path in sorted(run_folder.iterdir()):
        if path.name.startswith("events."):
            continue
        content = path.read_bytes()
        for _ in range(positions):
            changed, position, bit = bytearray(content), generator.randrange(len(content)), generator.randrange(8)
            changed[position] ^= 1 << bit
            path.write_bytes(changed)
            try:
                found = answers(run_folder)
            except StoreError as error:
                if path.name not in str(error):
                    raise AssertionError(f"bit {bit} of byte {position} of {path.name} was not named") from error
                counts["named"] += 1
            else:
                assert found == expected, f"bit {bit} of byte {position} of {path.name} was believed"
                counts["unchanged"] += 1
        path.write_bytes(content)
    return counts
