"""Layers of a CPU's training steps in C, where PyTorch's own are not the fastest there are.

    winograd.c          3×3 and 5×5 convolutions with a quarter and a sixth of the products, and with a stride
    direct.c            convolutions in bfloat16 of few channels, which PyTorch is slow with on the way back
    direct_weights.c    their gradients by the weights
    matrix.c            the same with a processor's unit for products of matrices
    norms.c             batch norm and the ReLU after it in one, half of the passes over memory
    pooling.c           the mean of 2×2 pixels of a sigmoid, which LeNet spent as much time in as in its convolutions,
                        and the largest of a ReLU's

The files are compiled for this processor when they are first needed, in a few seconds, and kept in the user's cache
folder. Where there is no GNU C compiler, or `CONVARIUM_KERNELS=torch` says so, PyTorch's kernels do the work.
"""

from convarium.kernels.compiling import TORCH, kernels, library
from convarium.kernels.convolution import convolve, convolves
from convarium.kernels.direct import convolve_by_matrices, convolve_directly, convolves_by_matrices, convolves_directly
from convarium.kernels.norms import normalize, normalizes
from convarium.kernels.pooling import average_sigmoid, averages, maximize_relu, maximizes

__all__ = [
    "TORCH",
    "average_sigmoid",
    "averages",
    "convolve",
    "convolve_by_matrices",
    "convolve_directly",
    "convolves",
    "convolves_by_matrices",
    "convolves_directly",
    "kernels",
    "library",
    "maximize_relu",
    "maximizes",
    "normalize",
    "normalizes",
]
