"""How far runs that Lightning trains differ from those of the native loop; see `scale` for how it is measured."""

import copy
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, stdev

import torch
from torch import nn
from torch.nn import functional as F

from convarium.data import load_data
from convarium.data.splits import Splits
from convarium.recipes.recipe import Recipe
from convarium.records import Outcome
from convarium.training import evaluate, fit
from convarium.training.engines import LightningEngine
from convarium.training.lightning import Classifier
from convarium.training.lightning_engine import fit_with_lightning
from convarium.training.state import TrainingRun
from convarium.training.stopping import TrainingStoppedError
from convarium.training.trainer import training_batches

Rows = list[dict[str, str | int | float]]

CPU = torch.device("cpu")
SMALL = Recipe(epochs=2, batch_size=6, learning_rate=1e-3, momentum=0.9, validation=20, augment="pad_crop(2)")
"""28 images make 5 steps an epoch, of which the last has 4 images."""

OWN = dataclasses.replace(SMALL, epochs=20, learning_rate=0.02)
"""It learns something."""


def few() -> Splits:
    splits = load_data("digits", validation=20)
    return dataclasses.replace(
        splits, train=splits.train.take(torch.arange(28)), test=splits.test.take(torch.arange(31))
    )


def agreement() -> Rows:
    """Ten steps in float64, on one process and on two: the largest difference of a step's loss and of a weight."""
    torch.set_default_dtype(torch.float64)
    splits, rows = few(), list[dict[str, str | int | float]]()

    def compared(what: str, losses: object, weights: dict[str, torch.Tensor], outcome: Outcome) -> None:
        loss = (torch.as_tensor(losses) - torch.as_tensor(outcome.step_loss)).abs().max()
        weight = max((weights[name] - tensor).abs().max() for name, tensor in outcome.weights.items())
        rows.append({"compared": what, "largest difference of a loss": float(loss), "of a weight": float(weight)})

    def trained(recipe: Recipe, devices: int, **settings: object) -> Outcome:
        return fit_with_lightning(recipe, splits, engine=LightningEngine(devices=devices), device=CPU, **settings)

    for model in ("lenet", "resnet(depth=8)"):
        recipe = dataclasses.replace(SMALL, model=model)
        native = fit(recipe, splits, device=CPU)
        compared(f"{model}: one process, and the native loop", native.step_loss, native.weights, trained(recipe, 1))
    lenet = fit(SMALL, splits, device=CPU)
    compared("lenet: two processes, and the native loop", lenet.step_loss, lenet.weights, trained(SMALL, 2))
    resnet = dataclasses.replace(SMALL, model="resnet(depth=8)")
    losses, weights = with_statistics_of_parts(resnet, splits, 2)
    what = "resnet(depth=8): two processes, and a loop with the statistics of each half"
    compared(what, losses, weights, trained(resnet, 2))
    dropout = dataclasses.replace(SMALL, model="residual_variant(depth=8, shortcut='dropout')")
    with tempfile.TemporaryDirectory() as folder:
        steps: list[object] = []
        try:
            stop = {"folder": Path(folder), "on_event": steps.append, "should_stop": lambda: len(steps) >= 8}
            trained(dropout, 2, **stop)
        except TrainingStoppedError:
            resumed = trained(dropout, 2, folder=Path(folder))
    whole = trained(dropout, 2)
    what = "residual_variant with dropout: two processes, stopped in the second epoch, and not stopped"
    compared(what, whole.step_loss, whole.weights, resumed)
    torch.set_default_dtype(torch.float32)
    return rows


def seeds() -> Rows:
    """Test accuracies of a network with batch norm on the 360 test images of digits, in float32, paired by seed."""
    splits, base = load_data("digits"), Recipe(model="mnist_resnet", epochs=5, learning_rate=0.05, momentum=0.9)
    accuracies: dict[str, list[float]] = {"native loop": [], "Lightning": [], "Lightning, 2 processes": []}
    for seed in range(5):
        recipe = dataclasses.replace(base, seed=seed)
        outcomes = [fit(recipe, splits, device=CPU)]
        outcomes += [fit_with_lightning(recipe, splits, engine=LightningEngine(devices=n), device=CPU) for n in (1, 2)]
        for found, outcome in zip(accuracies.values(), outcomes, strict=True):
            assert outcome.test
            found.append(100 * outcome.test.accuracy)
    native, rows = accuracies["native loop"], list[dict[str, str | int | float]]()
    for name, found in accuracies.items():
        differences = [own - other for own, other in zip(found, native, strict=True)]
        row: dict[str, str | int | float] = {"trained by": name, "seeds": len(found), "mean accuracy in %": mean(found)}
        row |= {"deviation": stdev(found), "difference of the means": mean(differences)}
        rows.append(row | {"largest difference of a seed": max(map(abs, differences))})
    return rows


def with_statistics_of_parts(recipe: Recipe, splits: Splits, parts: int) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Trains in one process as several do: each part of a batch is normalized by itself, and the first part's running
    statistics are kept.
    """
    network = Classifier(recipe, splits.train.spec).network
    batches = training_batches(TrainingRun(recipe, splits, network, CPU))
    optimizer = torch.optim.SGD(network.parameters(), recipe.learning_rate, recipe.momentum)
    losses: list[float] = []
    for epoch in range(recipe.epochs):
        for images, labels in batches.epoch(epoch):
            optimizer.zero_grad()
            kept: dict[str, torch.Tensor] = {}
            loss = torch.zeros(())
            for rank in range(parts):
                first, end = (len(labels) * number // parts for number in (rank, rank + 1))
                part = F.cross_entropy(network(images[first:end]), labels[first:end], reduction="sum") / len(labels)
                part.backward()
                loss += part.detach()
                kept = kept or copy.deepcopy(buffers(network))
                network.load_state_dict(network.state_dict() | kept)
            optimizer.step()
            losses.append(float(loss))
    return losses, network.state_dict()


def buffers(network: nn.Module) -> dict[str, torch.Tensor]:
    return dict(network.named_buffers())


_OWN = """
import json, sys
import lightning, torch
sys.path.insert(0, {here!r})
from devices import OWN, few
from convarium.training.lightning import Classifier, ImageDataModule

if __name__ == "__main__":
    splits = few()
    data, classifier = ImageDataModule(OWN, splits), Classifier(OWN, splits.train.spec)
    trainer = lightning.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", max_epochs=OWN.epochs, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=True,
    )
    trainer.fit(classifier, data)
    scores = trainer.test(classifier, data, verbose=False)[0]
    if trainer.is_global_zero:
        torch.save(classifier.network.state_dict(), {weights!r})
        open({scores!r}, "w").write(json.dumps(scores))
"""


def scoring() -> Rows:
    """A Trainer of one's own on two processes scores 31 test images; `evaluate` scores the same weights."""
    with tempfile.TemporaryDirectory() as folder:
        weights, scores = f"{folder}/weights.pt", f"{folder}/scores.json"
        script = Path(folder, "own.py")
        script.write_text(_OWN.format(here=str(Path(__file__).parent), weights=weights, scores=scores))
        subprocess.run([sys.executable, str(script)], check=True, capture_output=True, env=dict(os.environ))
        found = json.loads(Path(scores).read_text())
        splits = few()
        network = Classifier(OWN, splits.train.spec).network
        network.load_state_dict(torch.load(weights, weights_only=True))
    own = evaluate(network, OWN, splits, device=CPU)
    return [
        {"scored by": "a Trainer on two processes", "accuracy": found["test_accuracy"], "loss": found["test_loss"]},
        {"scored by": "`convarium.training.evaluate`", "accuracy": own.accuracy, "loss": own.loss},
    ]
