"""How fast trained networks score images on this machine, measured in turns."""

import time
from collections.abc import Mapping

import torch

from convarium.models.build import build_model
from convarium.models.modes import evaluating
from convarium.models.weights import set_weights
from convarium.runs.environment import synchronize
from convarium.runs.store import StoredRun
from convarium.training.numerics import set_memory_format

BATCH = 32
"""Images that are scored at once."""

_LEAST_ROUNDS = 3


def scoring_speeds(runs: Mapping[str, StoredRun], device: torch.device, *, seconds: float = 1.0) -> dict[str, float]:
    """The images per second that networks score in batches of 32, without reading and resizing them.

    The networks take turns, and of each the fastest batch counts: whatever else runs on the machine only slows it.

    Args:
        runs: of each network one finished run; its weights matter, since zeros multiply faster on some processors.
        device: on which they score.
        seconds: for all networks together; three rounds are measured in any case.
    """
    measured: dict[str, tuple[torch.nn.Module, torch.Tensor]] = {}
    for name, run in runs.items():
        image, weights = run.outcome.image, run.weights()
        assert image is not None
        assert weights is not None
        network = build_model(run.recipe.model, image)
        set_weights(network, weights)
        set_memory_format(network.to(device), run.recipe, device)
        pixels = torch.randn(
            BATCH, image.channels, image.height, image.width, generator=torch.Generator().manual_seed(0)
        )
        measured[name] = network, pixels.to(device)
    fastest = dict.fromkeys(runs, float("inf"))
    ends, rounds = time.perf_counter() + seconds, 0
    while rounds <= _LEAST_ROUNDS or time.perf_counter() < ends:
        for name, (network, images) in measured.items():
            with evaluating(network), torch.inference_mode():
                synchronize(device)
                started = time.perf_counter()
                network(images)
                synchronize(device)
                took = time.perf_counter() - started
            if rounds:  # the first round warms up
                fastest[name] = min(fastest[name], took)
        rounds += 1
    return {name: BATCH / took for name, took in fastest.items()}
