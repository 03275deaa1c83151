"""How far do two seeds of one network lie apart?

    convarium run seeds                     20 seeds, 40 runs of 10 epochs on Fashion-MNIST
    measured    not run yet

LeNet with sigmoids as d2l.ai trains it, whose start depends on luck, and LeNet with ReLU. This number says
how little a comparison of two single runs means. Five of the runs with sigmoids are those of `classics_originals`.
"""

import dataclasses

from convarium.recipes.presets import recipe_preset
from convarium.studies.study import Study, with_seeds

_AS_D2L = recipe_preset("d2l", "lenet@d2l")

study = Study(
    name="seeds",
    question="How far do two seeds of one network lie apart?",
    recipes=with_seeds([_AS_D2L, dataclasses.replace(_AS_D2L, model="lenet", learning_rate=0.1)], range(20)),
    baseline="lenet@d2l",
    shows=("spread",),
    command="convarium run seeds",
)
