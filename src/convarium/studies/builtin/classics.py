"""Is the larger and deeper network more accurate and slower: LeNet, AlexNet, VGG, and NiN beside them?

    convarium run classics                  5 seeds, 20 runs of 20 epochs on Fashion-MNIST at 28 pixels
    convarium run classics_originals        5 seeds, 20 runs of 10 epochs, all but LeNet at 224 pixels
    convarium reproduce lenet-d2l           5 seeds, 5 runs of LeNet alone
    measured    2026-11-27, LeNet alone, 15 seeds, ten of them added later: 81.2 % after the last epoch (80.5 to 81.8;
                d2l.ai printed 77.9), training 82.4 (82.3)

`classics_originals` is what the notes of 2024 train after d2l.ai, every network in the source's own way: its own
learning rate, batch and size of image; its numbers are the outputs that d2l-zh printed on 2023-08-18, one last epoch
each (github.com/d2l-ai/d2l-zh-pytorch-slides, commit 341c193). The same code printed other ones before, which were read
after the claims were fixed: LeNet 81.3 % (0a38595) and 78.3 (6b4d8c4), NiN 84.2 (0a38595). The notes call AlexNet fast
and VGG slow; of LeNet they say that it computes far less than AlexNet, which is counted. `classics` is the fair race:
the images as they are, one recipe for all, networks made for small images.
"""

import dataclasses

from convarium.analysis.claims import Better, Ordered, Reproduces
from convarium.recipes.presets import recipe_preset
from convarium.recipes.recipe import Recipe
from convarium.studies.study import Study, with_seeds

LENET, ALEXNET, VGG, NIN = "lenet@d2l", "alexnet@d2l", "vgg11@d2l-small", "nin@d2l"
_NOTES = "d2l, course notes, day 19 (2024)"
_PRINTED = "d2l, d2l-zh of 2023-08-18, printed output of section"
_LAST = "last_epoch_test_accuracy"

originals = Study(
    name="classics_originals",
    question="LeNet, AlexNet, VGG and NiN as d2l.ai trains them: is the larger one more accurate and slower?",
    recipes=with_seeds([recipe_preset("d2l", model) for model in (LENET, ALEXNET, VGG, NIN)], range(5)),
    baseline=LENET,
    claims={
        "lenet-d2l": Reproduces(LENET, 0.779, metric=_LAST, source=f"{_PRINTED} 6.6"),
        "lenet-d2l-train": Reproduces(LENET, 0.823, metric="train_accuracy", source=f"{_PRINTED} 6.6"),
        "alexnet-d2l": Reproduces(ALEXNET, 0.883, metric=_LAST, source=f"{_PRINTED} 7.1"),
        "alexnet-d2l-train": Reproduces(ALEXNET, 0.878, metric="train_accuracy", source=f"{_PRINTED} 7.1"),
        "vgg-d2l": Reproduces(VGG, 0.920, metric=_LAST, source=f"{_PRINTED} 7.2"),
        "vgg-d2l-train": Reproduces(VGG, 0.935, metric="train_accuracy", source=f"{_PRINTED} 7.2"),
        "nin-d2l": Reproduces(NIN, 0.790, metric=_LAST, source=f"{_PRINTED} 7.3"),
        "larger-is-better": Ordered([VGG, ALEXNET, LENET], source=f"{_NOTES}, section 3.1"),
        "larger-is-slower": Better(ALEXNET, than=VGG, metric="images_per_second", source=f"{_NOTES}, section 3.1"),
        "alexnet-is-larger": Better(LENET, than=ALEXNET, metric="parameters", source=f"{_NOTES}, section 2"),
        "alexnet-computes-more": Better(LENET, than=ALEXNET, metric="flops", source=f"{_NOTES}, section 2"),
        "nin-below-vgg": Better(VGG, than=NIN, source=f"{_NOTES}, section 4.2"),
        "nin-slower-than-vgg": Better(VGG, than=NIN, metric="images_per_second", source=f"{_NOTES}, section 4.2"),
        "nin-is-smaller": Better(NIN, than=VGG, metric="parameters", source=f"{_NOTES}, section 4.1"),
        "nin-is-smaller-than-alexnet": Better(NIN, than=ALEXNET, metric="parameters", source=f"{_NOTES}, section 4.1"),
    },
    shows=("classes",),
    command="convarium run classics_originals",
)

_RACE = Recipe(
    dataset="fashion_mnist",
    epochs=20,
    batch_size=128,
    optimizer="sgd",
    learning_rate=0.05,
    momentum=0.9,
    weight_decay=5e-4,
    schedule="one_cycle",
)
_NATIVE = ("lenet", "alexnet", "vgg(depth=11)", "nin")
_PROGRESS, _COMPARED = f"{_NOTES}, section 3.1", f"{_NOTES}, section 4.2"
_ASSUMED = "images of 28 pixels, networks made for them and one recipe of 20 epochs, in place of the source's own"

study = Study(
    name="classics",
    question="LeNet, AlexNet, VGG and NiN on Fashion-MNIST at 28 pixels, one recipe for all: is the larger one better?",
    recipes=with_seeds([dataclasses.replace(_RACE, model=model) for model in _NATIVE], range(5)),
    baseline="lenet",
    claims={
        "larger-is-better-at-28": Ordered(["vgg(depth=11)", "alexnet", "lenet"], source=_PROGRESS, assumed=_ASSUMED),
        "larger-is-slower-at-28": Better(
            "alexnet", than="vgg(depth=11)", metric="images_per_second", source=_PROGRESS, assumed=_ASSUMED
        ),
        "nin-below-vgg-at-28": Better("vgg(depth=11)", than="nin", source=_COMPARED, assumed=_ASSUMED),
    },
    shows=("classes",),
    command="convarium run classics",
)
