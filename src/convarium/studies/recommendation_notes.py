"""What a user must know of a recommendation: how its networks were chosen, and how far its accuracies go."""

from collections.abc import Iterator, Mapping, Sequence

from convarium.analysis.comparison.formatting import count, listed
from convarium.analysis.comparison.run_facts import status
from convarium.analysis.recommendation import Choice
from convarium.analysis.statistics import margin_of
from convarium.chance import IMBALANCE
from convarium.runs.store import StoredRun
from convarium.studies.rungs import Search, Trained, epochs_between


def notes_of(
    search: Search, last: Trained, named: Mapping[str, StoredRun], choices: Sequence[Choice], *, family: int
) -> Iterator[str]:
    """The notes under a recommendation, a sentence or two each.

    Args:
        search: what was asked.
        last: the rung that decided.
        named: the recommended run of each recommended network.
        choices: the recommended networks.
        family: how many intervals hold together.
    """
    has_test = all(run.outcome.test is not None and run.outcome.test.n for run in named.values())
    if has_test:
        together = f"the {family} intervals hold together" if family > 1 else "the interval holds"
        yield (
            f"The test images chose nothing: networks and seeds were chosen by {search.score.title}, size and speed, "
            f"and {together} with 95 %."
        )
        if len(last.rung.validation) > 1:
            yield "A network that is picked by its test accuracy, here or in the report, has one that is too high."
    else:
        yield (
            "There are no test images. The validation images that chose also judge: the intervals hold together for "
            f"all {family} runs that could have been chosen, and the accuracies are too high rather than too low."
        )
    if search.balanced:
        yield (
            f"The largest class has over {IMBALANCE} times as many training images as the smallest, so that the mean "
            "of all classes' accuracies counts, the balanced accuracy."
        )
    if last.rung.seeds == 1:
        yield "One seed of each network was trained: how far other seeds lie from it is not known."
    images, margin = len(search.splits.validation), margin_of(last.study.recipes[0].dataset)
    if images * margin < 1:
        yield (
            f"With {count(images, 'validation image')}, one image is {100 / images:.1f} points, more than the margin: "
            "networks that are close to each other are chosen by chance."
        )
    if last.rung.epochs < epochs_between(search).most:
        yield (
            f"The time sufficed for {last.rung.epochs} of {count(epochs_between(search).most, 'epoch')}: with a longer "
            "--budget another network may lead."
        )
    guessing = [name for name, run in named.items() if run.outcome.is_at_chance]
    if guessing:
        verb = "does" if len(guessing) == 1 else "do"
        yield f"{listed(guessing)} {verb} no better than always answering with the largest class."
    unclear = [name for name, run in named.items() if run.outcome.is_at_chance is None]
    if unclear:
        yield (
            f"Whether {listed(unclear)} learned anything cannot be told: even the largest set that was scored is too "
            "small."
        )
    yield from failure_notes({name: last.runs[name] for name in named})
    unsure = [each for each in choices if each.network not in guessing and each.low <= _guessed(search, named, each)]
    if unsure:
        level = max(_guessed(search, named, each) for each in unsure)
        subject = "The interval of" if len(unsure) == 1 else "Each interval of"
        yield (
            f"{subject} {listed([each.network for each in unsure])} reaches down to what always answering with one "
            f"class gets, {100 * level:.1f} %: only more test images would show that it is better than that."
        )


def failure_notes(runs: Mapping[str, Sequence[StoredRun]]) -> Iterator[str]:
    """Says of each network of which runs failed that further ones may, though one that trained is recommended.

    Args:
        runs: all of each recommended network, with as many epochs.
    """
    for name, each in runs.items():
        failed = sum(status(run) != "trained" for run in each)
        if failed:
            yield f"{name} failed to train in {failed} of {count(len(each), 'run')}: another run of it may, too."


def _guessed(search: Search, named: Mapping[str, StoredRun], choice: Choice) -> float:
    """What always answering with one class gets, on the images that judge a choice."""
    outcome = named[choice.network].outcome
    scores = outcome.test if outcome.test is not None and outcome.test.n else outcome.validation
    assert scores is not None
    images = [n for n in map(sum, scores.confusion) if n]
    return 1 / len(images) if search.balanced else max(images) / sum(images)
