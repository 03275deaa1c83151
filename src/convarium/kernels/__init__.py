"""Layers of a CPU's training steps in C, each where it makes whole steps at least 1.10 times as fast on two networks.

They are compiled for this processor when they are first needed and take only float32 or bfloat16 images in
channels-last layout; without a GNU C compiler, or with CONVARIUM_KERNELS=torch, PyTorch's kernels do the work.
"""

from convarium.kernels.convolution import conv2d, supports_conv2d
from convarium.kernels.loading import TORCH, is_available, version
from convarium.kernels.norms import batch_norm, supports_batch_norm

__all__ = ["TORCH", "batch_norm", "conv2d", "is_available", "supports_batch_norm", "supports_conv2d", "version"]
