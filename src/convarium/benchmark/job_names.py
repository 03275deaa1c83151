"""The names of the benchmark's jobs, which the command line completes without torch."""

JOB_NAMES = (
    "memory_mlp",
    "residual_mlp",
    "residual_cnn",
    "mnist_resnet",
    "lenet@d2l",
    "alexnet@d2l",
    "vgg11@d2l-small",
    "nin@d2l",
    "googlenet@uva",
    "resnet@uva",
    "preact_resnet@uva",
    "densenet@uva",
)
"""The keys of `convarium.benchmark.JOBS`, in its order."""
