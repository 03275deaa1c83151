"""Does SGD suit ResNet better than AdamW, though it starts worse?

    convarium run optimizers                5 seeds, 10 runs of 180 epochs on CIFAR-10
    cost        about 4.5 days, so that it wants a GPU
                (estimated from the first steps, on one core of an AMD EPYC that had other work too)
    measured    not run yet

UvA tutorial 5 says so of ResNet and prints no run with AdamW; its settings of GoogLeNet and DenseNet (rate 0.001, no
momentum) stand in. 'Starts worse' is read as: gets later to 70 % on validation. The runs with SGD are those of
`tutorial5`.
"""

from convarium.analysis.claims import Better
from convarium.recipes.presets import recipe_preset
from convarium.studies.study import Study, with_seeds

MODEL = "resnet@uva"

study = Study(
    name="optimizers",
    question="Does SGD suit ResNet better than AdamW, though it starts worse?",
    recipes=with_seeds([recipe_preset(preset, MODEL) for preset in ("uva/adamw", "uva")], range(5)),
    compare="optimizer",
    baseline="adamw",
    claims={
        "sgd-suits-resnet": Better("sgd", than="adamw", source="uva, section 4.4"),
        "sgd-starts-worse": Better(
            "adamw", than="sgd", metric="epochs_to(validation_accuracy=0.7)", source="uva, section 4.5"
        ),
    },
    command="convarium run optimizers",
)
