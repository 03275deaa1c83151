"""GoogLeNet, ResNet, pre-activation ResNet and DenseNet of a quarter million parameters on CIFAR-10: which is best?

    convarium run tutorial5                 5 seeds, 20 runs of 180 epochs
    measured    not run yet

The closing table of UvA Deep Learning tutorial 5, one run a network, its weights chosen by validation accuracy. The
two ResNets train with SGD, the others with AdamW, as there. That ResNet with SGD starts worse is said beside GoogLeNet:
a higher training loss at first (here, its mean until the rate falls), a higher validation accuracy after that.
"""

from convarium.analysis.claims import Better, Claim, Equivalent, Overfits, Overtakes, Reproduces
from convarium.recipes.presets import recipe_preset
from convarium.studies.study import Study, with_seeds

TABLE = {
    "googlenet": (0.9040, 0.8970, 260_650),
    "resnet": (0.9184, 0.9106, 272_378),
    "preact_resnet": (0.9180, 0.9107, 272_250),
    "densenet": (0.9072, 0.9023, 239_146),
}
"""Validation accuracy, test accuracy and parameters, as the source prints them."""
GOOGLENET, RESNET, PREACT, DENSENET = (f"{name}@uva" for name in TABLE)
_BEST = "best_epoch_validation_accuracy"
_SOURCE = "uva, section 6"


def _rows() -> dict[str, Claim]:
    claims: dict[str, Claim] = {}
    for name, (validation, test, parameters) in TABLE.items():
        short = name.replace("_", "-")
        claims[f"{short}-uva-validation"] = Reproduces(f"{name}@uva", validation, metric=_BEST, source=_SOURCE)
        claims[f"{short}-uva-test"] = Reproduces(f"{name}@uva", test, source=_SOURCE)
        claims[f"{short}-uva-size"] = Reproduces(f"{name}@uva", parameters, metric="parameters", source=_SOURCE)
    return claims


study = Study(
    name="tutorial5",
    question="GoogLeNet, ResNet, pre-activation ResNet and DenseNet of equal size on CIFAR-10: which is best?",
    recipes=with_seeds([recipe_preset("uva", model) for model in (RESNET, PREACT, GOOGLENET, DENSENET)], range(5)),
    baseline=RESNET,
    claims={
        **_rows(),
        "activation-place-does-not-matter": Equivalent(PREACT, to=RESNET, source=_SOURCE),
        "resnet-over-googlenet": Better(RESNET, than=GOOGLENET, by=0.01, metric=_BEST, source=_SOURCE),
        "resnet-over-densenet": Better(RESNET, than=DENSENET, by=0.01, metric=_BEST, source=_SOURCE),
        "googlenet-close-to-densenet": Equivalent(GOOGLENET, to=DENSENET, source=_SOURCE),
        "googlenet-overfits": Overfits(GOOGLENET, source="uva, section 3.1"),
        "sgd-starts-worse": Overtakes(
            RESNET, than=GOOGLENET, start="mean_until(train_loss=100)", end=_BEST, source="uva, section 4.5"
        ),
        **{
            f"resnet-faster-than-{name}": Better(
                RESNET, than=model, metric="images_per_second", source="uva, section 6.1"
            )
            for name, model in (("googlenet", GOOGLENET), ("densenet", DENSENET), ("preact-resnet", PREACT))
        },
    },
    shows=("classes",),
    command="convarium run tutorial5",
)
