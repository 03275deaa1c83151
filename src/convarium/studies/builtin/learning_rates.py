"""Learning rates of 0.001, 0.1 and 1 for a small residual network on MNIST: which train, and how does the last fail?

    convarium run learning_rates            5 seeds, 15 runs of 10 epochs
    convarium run learning_rates_pilot      1 seed, 3 runs, the optimizer that was not chosen
    measured    2026-11-23, 5 seeds: 99.1 and 97.9 %; at a rate of 1 chance five times, one digit for all images, a
                different one from epoch to epoch, at the end 6, 4, 5, 7, 6; the pilot: 99.1, 98.6 % and chance

At a rate of 1 the course report ends at chance: one digit for every image, now a 6, now a 4. A network that does not
train is the result here; which digit it names after each epoch is shown run by run. The source's table reads
2.3358/.0974 and 2.3356/.0982 at that rate: a failed run has no mean, so the failure itself is the claim. Its row of
0.001 is the recipe of its ReLU row over again (98.96 and 99.09 %), the source's own noise: `activations` has the claims
on the mean of both. 'Steady' (平稳) is read as: the test accuracy never falls far from one epoch to the next.
"""

import dataclasses

from convarium.analysis.claims import Better, Collapses, Fails
from convarium.studies.builtin.mnist_report import (
    ASSUMED,
    CANDIDATE,
    OTHER,
    printed_digits,
    printed_scores,
    reported_recipe,
)
from convarium.studies.study import Study, with_seeds

MODEL = "mnist_resnet(activation='relu')"
RATES = (0.001, 0.1, 1.0)
FIRST, SECOND, THIRD = (f"learning_rate={rate}" for rate in RATES)
_WHERE = "mnist-report, section 3.2"

study = Study(
    name="learning_rates",
    question=f"Learning rates of 0.001, 0.1 and 1 under {CANDIDATE}: which train, and how does the last fail?",
    recipes=with_seeds([dataclasses.replace(reported_recipe(MODEL), learning_rate=rate) for rate in RATES], range(5)),
    compare="learning_rate",
    baseline=RATES[0],
    claims={
        **printed_scores("rate-0.1", SECOND, (0.0536, 0.9828, 0.0555, 0.9821), section="section 3.2"),
        "rate-0.1-digits": printed_digits(
            SECOND, "99.18 99.03 97.09 99.11 98.88 98.43 97.39 98.83 96.61 97.42", section="section 3.2"
        ),
        "rate-0.1-train-digits": printed_digits(
            SECOND,
            "99.41 98.78 96.88 98.58 98.84 98.12 98.29 99.36 97.54 96.82",
            section="section 3.2",
            split="train",
        ),
        "rate-0.001-learns-fastest": Better(
            FIRST, than=SECOND, metric="steps_to(test_accuracy=0.98)", source=_WHERE, assumed=ASSUMED
        ),
        "rate-0.001-ends-best": Better(FIRST, than=SECOND, source=_WHERE, assumed=ASSUMED),
        "rate-0.001-is-steadiest": Better(
            FIRST, than=SECOND, metric="largest_test_accuracy_drop", source=_WHERE, assumed=ASSUMED
        ),
        "rate-1-fails": Fails(THIRD, source=_WHERE, assumed=ASSUMED),
        "rate-1-one-digit": Collapses(THIRD, source=_WHERE, assumed=ASSUMED),
        "rate-1-digit-changes": Collapses(THIRD, wandering=True, source=_WHERE, assumed=ASSUMED),
    },
    shows=("classes", "predicted"),
    command="convarium run learning_rates",
)

pilot = Study(
    name="learning_rates_pilot",
    question=f"Learning rates of 0.001, 0.1 and 1 under {OTHER}: does it fit the report better than {CANDIDATE}?",
    recipes=with_seeds([dataclasses.replace(reported_recipe(MODEL, OTHER), learning_rate=rate) for rate in RATES], [0]),
    compare="learning_rate",
    baseline=RATES[0],
    shows=("predicted",),
    command="convarium run learning_rates_pilot",
)
