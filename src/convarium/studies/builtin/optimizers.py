"""Does SGD suit ResNet better than AdamW?

    convarium run optimizers                5 seeds, 10 runs of 180 epochs on CIFAR-10
    measured    not run yet

UvA tutorial 5 says so of ResNet and prints no run with AdamW; its settings of GoogLeNet and DenseNet (rate 0.001, no
momentum) stand in. The runs with SGD are those of `tutorial5`, which asks whether ResNet starts worse than GoogLeNet.
"""

from convarium.analysis.claims import Better
from convarium.recipes.presets import recipe_preset
from convarium.studies.study import Study, with_seeds

MODEL = "resnet@uva"
_ASSUMED = "AdamW as the source sets it for GoogLeNet and DenseNet; it prints no run of ResNet with it"

study = Study(
    name="optimizers",
    question="Does SGD suit ResNet better than AdamW?",
    recipes=with_seeds([recipe_preset(preset, MODEL) for preset in ("uva/adamw", "uva")], range(5)),
    compare="optimizer",
    baseline="adamw",
    claims={
        "sgd-suits-resnet": Better("sgd", than="adamw", source="uva, section 4.4", assumed=_ASSUMED),
    },
    command="convarium run optimizers",
)
