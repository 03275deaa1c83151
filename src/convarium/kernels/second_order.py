"""Gradients that can be differentiated again, by PyTorch's own operations."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def differentiable_gradients(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], needed: Sequence[bool], grad_output: Tensor
) -> list[Tensor | None]:
    """The gradients of a function, computed so that autograd can differentiate them: for `create_graph=True`.

    Args:
        function: PyTorch's form of what a kernel computes.
        inputs: its arguments, as autograd saved them.
        needed: for which of them the gradient is needed.
        grad_output: gradient by the function's result, of its shape and type.

    Returns:
        One gradient for each input, None where it is not needed.
    """
    differentiated = [tensor for tensor, is_needed in zip(inputs, needed, strict=True) if is_needed]
    gradients = iter(torch.autograd.grad(function(*inputs), differentiated, grad_output, create_graph=True))
    return [next(gradients) if is_needed else None for is_needed in needed]
