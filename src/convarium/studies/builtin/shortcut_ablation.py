"""Does the shortcut matter in a residual network of three blocks?

    convarium run shortcut_ablation         5 seeds, 10 runs of 10 epochs
    measured    2026-11-23, 5 seeds each: on a par, with the shortcut 0.01 to 0.27 points lower (90 % interval)

The course report took the shortcut out and saw little change, which it puts down to the small depth. It prints no
number and names neither activation nor rate; 'little' is the margin of MNIST here, 0.3 points. `depth` and `vanishing`
ask where the shortcut starts to matter. The runs with the shortcut are those of `activations`.
"""

from convarium.analysis.claims import Equivalent
from convarium.studies.builtin.mnist_report import ASSUMED, reported_recipe
from convarium.studies.study import Study, with_seeds

WITH = "mnist_resnet(activation='relu')"
WITHOUT = "mnist_resnet(activation='relu', residual=False)"
_ASSUMED = f"{ASSUMED}; of its network without the shortcut also ReLU and a rate of 0.001"

study = Study(
    name="shortcut_ablation",
    question="Does the shortcut matter in a residual network of three blocks?",
    recipes=with_seeds([reported_recipe(model) for model in (WITHOUT, WITH)], range(5)),
    baseline=WITHOUT,
    claims={
        "shortcut-changes-little": Equivalent(WITH, to=WITHOUT, source="mnist-report, section 4", assumed=_ASSUMED)
    },
    shows=("classes", "gradients"),
    command="convarium run shortcut_ablation",
)
