"""Does bfloat16 change what a network learns on MNIST?

    convarium run precision_memory_mlp      10 seeds, 20 runs of 10 epochs
    convarium run precision_residual_mlp    10 seeds, 20 runs of 10 epochs
    convarium run precision_residual_cnn    10 seeds, 20 runs of 20 epochs
    convarium run precision_lenet           10 seeds, 20 runs of 10 epochs
    convarium run precision_mnist_resnet    10 seeds, 20 runs of 10 epochs
    convarium run precision_resnet          10 seeds, 20 runs of one epoch
    convarium run precision_preact_resnet   10 seeds, 20 runs of one epoch
    convarium run precision_googlenet       10 seeds, 20 runs of one epoch
    convarium run precision_densenet        10 seeds, 20 runs of one epoch
    measured    2026-11-26, with AMX: memory_mlp 98.16 % against 98.16, equivalent (0.01 points, 90 % interval −0.01 to
                0.02), lenet 96.36 % against 96.36, equivalent (−0.02 to 0.02), and preact_resnet 98.90 % against
                98.77, equivalent (0.04 to 0.22); the others equivalent too, with fewer epochs or images:
                docs/speed.md

Each network under its source's recipe, the four for CIFAR-10 without its augmentation and with a cosine in place of its
steps (at a constant rate of 0.1 one epoch ended between 90.9 and 97.8 %, too far apart to decide anything), float32
against bfloat16 autocast, seed by seed. A preset that reproduces a source stays float32 until this study has shown
both to be equivalent; so do the bfloat16 rows of docs/speed.md. The float32 runs are those of the studies that
reproduce the sources, as far as these have the seeds.
"""

import dataclasses

from convarium.recipes.presets import recipe_preset
from convarium.recipes.recipe import Recipe
from convarium.studies.study import Study, grid


def _study(name: str, recipe: Recipe) -> Study:
    return Study(
        name=f"precision_{name}",
        question=f"Does bfloat16 change what {recipe.model} learns on MNIST?",
        recipes=grid(recipe, seed=range(10), precision=("float32", "bfloat16")),
        compare="precision",
        baseline="float32",
        command=f"convarium run precision_{name}",
    )


memory_mlp = _study("memory_mlp", recipe_preset("memory-blog", "memory_mlp@memory-blog"))
residual_mlp = _study("residual_mlp", recipe_preset("memory-blog", "residual_mlp@memory-blog"))
residual_cnn = _study("residual_cnn", recipe_preset("residual-blog", "residual_cnn@residual-blog"))
lenet = _study("lenet", dataclasses.replace(recipe_preset("d2l", "lenet@d2l"), dataset="mnist"))
mnist_resnet = _study("mnist_resnet", recipe_preset("mnist-report", "mnist_resnet(activation='relu')"))
resnet, preact_resnet, googlenet, densenet = (
    _study(
        name,
        dataclasses.replace(
            recipe_preset("uva", f"{name}@uva"),
            dataset="mnist",
            epochs=1,
            augment="none",
            normalize="dataset",
            schedule="cosine",
            select="last",
        ),
    )
    for name in ("resnet", "preact_resnet", "googlenet", "densenet")
)
