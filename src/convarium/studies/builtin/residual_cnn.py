"""How accurate is the residual-blog's small residual network on MNIST, at its best epoch and at its last?

    convarium run residual_cnn              5 seeds, 5 runs of 20 epochs
    convarium run residual_cnn_50           5 seeds, 5 runs of 50 epochs
    measured    2026-11-23, 20 epochs, 5 seeds: best 99.20 ± 0.03 % (99.25 published), last 99.09 ± 0.15; 50 not run yet

The source scores the test split after every epoch and reports the highest accuracy of 20 epochs, 99.25 %. The study
compares it with the highest of its own runs and shows the last epoch beside it: the distance between the two columns
is what choosing the epoch on the test split gains. For 50 epochs the source prints a picture and no number.
"""

from convarium.analysis.claims import Reproduces
from convarium.recipes.presets import recipe_preset
from convarium.studies.study import Study, with_seeds

MODEL = "residual_cnn@residual-blog"

study = Study(
    name="residual_cnn",
    question="How accurate is the small residual network on MNIST after 20 epochs, and at its best epoch?",
    recipes=with_seeds([recipe_preset("residual-blog", MODEL)], range(5)),
    metric="best_epoch_test_accuracy",
    claims={
        "residual-cnn-best": Reproduces(
            MODEL, 0.9925, metric="best_epoch_test_accuracy", source="residual-blog, section 4"
        )
    },
    shows=("spread", "classes"),
    command="convarium run residual_cnn",
)

longer = Study(
    name="residual_cnn_50",
    question="What do 50 epochs instead of 20 bring the small residual network on MNIST?",
    recipes=with_seeds([recipe_preset("residual-blog/50-epochs", MODEL)], range(5)),
    metric="best_epoch_test_accuracy",
    shows=("spread",),
    command="convarium run residual_cnn_50",
)
