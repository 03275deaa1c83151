"""Which pixels of an image an answer depends on: saliency, Grad-CAM and occlusion."""

from collections.abc import Callable, Mapping
from typing import get_args

import numpy as np
import torch
from torch import Tensor, nn

from convarium.diagnostics.deepest_convolution import deepest_convolution
from convarium.diagnostics.results import Explanation, Method
from convarium.errors import ConvariumError
from convarium.models.modes import evaluating
from convarium.spec import unknown

METHODS: tuple[Method, ...] = get_args(Method)
_BATCH = 64


def explain(
    network: nn.Module,
    image: Tensor,
    *,
    method: Method = "saliency",
    target: int | None = None,
    layer: str | None = None,
    square: int = 5,
) -> Explanation:
    """Asks which pixels of an image the logit of a class depends on.

        network = convarium.load_run("runs/…")
        shown = convarium.explain(network, network.preprocess("cat.jpg"), method="grad_cam")

    - "saliency": the absolute value of the logit's gradient, the largest over the channels (Simonyan et al. 2013, arXiv
      1312.6034).
    - "grad_cam": the positive part of the sum of a convolution's channels, each weighted by the mean of its gradient
      (Selvaraju et al. 2017, arXiv 1610.02391), in the size of the convolution's output.
    - "occlusion": how far the probability falls, at least 0, when a square of zeros covers the pixel, the mean over
      squares that lie half a side apart (Zeiler and Fergus 2013, arXiv 1311.2901). 0 is the mean color of the images,
      or black where the run does not normalize them.

    Args:
        network: runs in evaluation mode and is left unchanged.
        image: (c, h, w), normalized.
        method: "saliency", "grad_cam" or "occlusion".
        target: number of the class; None: the one with the largest logit.
        layer: of Grad-CAM, the path of a convolution, such as "blocks.2.residual.3"; None: the
            deepest one, see `deepest_convolution`.
        square: of occlusion, the side of the square in pixels.

    Raises:
        SpecError: the method or the layer is unknown.
        ConvariumError: the image has another shape, the network has no such class, no convolution, or the square has no
            pixel.
    """
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    if image.ndim != 3:
        raise ConvariumError(
            "the image that is explained has the wrong shape",
            expected="(c, h, w), normalized",
            received=tuple(image.shape),
            hint="make it with network.preprocess(image)",
        )
    device = next(network.parameters()).device
    images = image[None].to(device)
    with evaluating(network):
        with torch.no_grad():
            logits = network(images)[0]
        chosen = int(logits.argmax()) if target is None else target
        if not 0 <= chosen < len(logits):
            raise ConvariumError("the network has no such class", expected=f"0 to {len(logits) - 1}", received=target)
        if method == "saliency":
            return Explanation(method, chosen, None, _saliency(network, images, chosen))
        if method == "grad_cam":
            name, convolution = _convolution(network, images, layer)
            return Explanation(method, chosen, name, _grad_cam(network, convolution, images, chosen))
        if square < 1:
            raise ConvariumError("side of the square", expected="1 pixel or more", received=square)
        return Explanation(method, chosen, None, _occlusion(network, images, chosen, square))


def _saliency(network: nn.Module, images: Tensor, target: int) -> np.ndarray:
    images = images.clone().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(network(images)[0, target], images)
    heat: np.ndarray = gradient[0].abs().amax(0).cpu().numpy()
    return heat


def _grad_cam(network: nn.Module, convolution: nn.Module, images: Tensor, target: int) -> np.ndarray:
    kept: list[Tensor] = []

    def keep(_: nn.Module, __: object, output: Tensor) -> Tensor:
        kept.append(output if output.requires_grad else output.detach().requires_grad_())
        return kept[-1]

    handle = convolution.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            logits = network(images)
            (gradient,) = torch.autograd.grad(logits[0, target], kept[-1])
    finally:
        handle.remove()
    heat: np.ndarray = (gradient[0].mean((1, 2), keepdim=True) * kept[-1][0]).sum(0).relu().detach().cpu().numpy()
    return heat


def _convolution(network: nn.Module, images: Tensor, layer: str | None) -> tuple[str, nn.Module]:
    found: Mapping[str, nn.Module] = {n: m for n, m in network.named_modules() if isinstance(m, nn.Conv2d)}
    if not found:
        raise ConvariumError("Grad-CAM takes a convolution, and the network has none", hint="use method='saliency'")
    if layer is None:
        layer = deepest_convolution(network, images) or list(found)[-1]
    if layer not in found:
        raise unknown("convolution", layer, found)
    return layer, found[layer]


def _occlusion(network: nn.Module, images: Tensor, target: int, square: int) -> np.ndarray:
    _, _, height, width = images.shape
    step = max(1, square // 2)
    first = min(0, 1 - square + step)
    places = [(y, x) for y in range(first, height, step) for x in range(first, width, step)]
    probability: Callable[[Tensor], Tensor] = lambda batch: network(batch).softmax(1)[:, target]  # noqa: E731
    heat, counts = torch.zeros(height, width), torch.zeros(height, width)
    with torch.no_grad():
        full = probability(images)
        for begin in range(0, len(places), _BATCH):
            part = places[begin : begin + _BATCH]
            covered = images.repeat(len(part), 1, 1, 1)
            for one, (y, x) in zip(covered, part, strict=True):
                one[:, max(0, y) : y + square, max(0, x) : x + square] = 0
            falls = (full - probability(covered)).clamp(min=0).cpu()
            for fall, (y, x) in zip(falls, part, strict=True):
                heat[max(0, y) : y + square, max(0, x) : x + square] += fall
                counts[max(0, y) : y + square, max(0, x) : x + square] += 1
    found: np.ndarray = (heat / counts.clamp(min=1)).numpy()
    return found
