"""Which convolution Grad-CAM takes unless another is named."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def deepest_convolution(network: nn.Module, images: Tensor) -> str | None:
    """Finds the convolution with the most convolutions before it on the way from the image to the logits.

    That is the last one of a chain. At the end of a residual block it is the last of what the block computes, not the
    projection on its shortcut, which is computed from the block's input; whichever the author of the network defined
    or computes last. Of several that are as deep, as in the branches of GoogLeNet, it is the one with the most
    channels, then the one that is computed last. The page that `convarium play` writes has the same rule.

    Args:
        network: in evaluation mode.
        images: (n, c, h, w), normalized.

    Returns:
        The path of the convolution, such as "blocks.2.residual.3"; None if no logit depends on one.
    """
    called: dict[Any, tuple[str, int]] = {}  # autograd's node of what a convolution computed → its path and channels

    def listen(name: str, module: nn.Module) -> Any:
        def keep(_: nn.Module, __: object, output: Tensor) -> None:
            if output.grad_fn is not None:
                called[output.grad_fn] = name, output.shape[1]

        return module.register_forward_hook(keep)

    handles = [listen(name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    try:
        with torch.enable_grad():
            logits = network(images.clone().requires_grad_())
    finally:
        for handle in handles:
            handle.remove()
    depths: dict[Any, int] = {}
    for node in called:  # in the order of computing: those before it are known
        depths[node] = 1 + max((depths[one] for one in _next(_inputs(node), called)), default=0)
    order = list(called)
    last = _next([logits.grad_fn], called)
    if not last:
        return None
    return called[max(last, key=lambda node: (depths[node], called[node][1], order.index(node)))][0]


def _next(nodes: Iterable[Any], wanted: Iterable[Any]) -> set[Any]:
    """Those of the wanted nodes of autograd's graph that come first on the ways from some nodes towards the image."""
    found, seen, open_nodes = set(), set(), list(nodes)
    while open_nodes:
        node = open_nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node in wanted:
            found.add(node)
        else:
            open_nodes += _inputs(node)
    return found


def _inputs(node: Any) -> list[Any]:
    return [before for before, _ in node.next_functions]
