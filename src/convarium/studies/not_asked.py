"""What the five sources claim and no study asks, with the reasons, as docs/reproductions.md lists it."""

NOT_ASKED: dict[str, tuple[tuple[str, str], ...]] = {
    "memory-blog": (
        ("Both losses fall and settle, by curves that are alike (section 5)", "a shape, judged by eye"),
        ("Both networks reach a high accuracy (section 5)", "no level is named"),
        ("The memory network has advantages in some respects (section 6)", "none is named"),
    ),
    "residual-blog": (
        (
            "Gradients shrink with every layer (section 1)",
            "the study `vanishing` shows them layer by layer, without a verdict; what is said to follow, that a deep "
            "network does not train, is asked",
        ),
        (
            "The effect of 50 epochs is mysterious (section 4)",
            "a picture without a number; the study `residual_cnn_50` trains for so long",
        ),
    ),
    "d2l": (
        (
            "NiN ends at a training accuracy of 78.6 % (printed output of section 7.3)",
            "the runs of `nin-d2l` will tell",
        ),
        (
            "LeNet, AlexNet, VGG and NiN process 55,297, 3,942, 2,464 and 3,088 images a second (printed outputs of "
            "sections 6.6 to 7.3)",
            "speeds of one machine; what the notes say of the order is asked",
        ),
        (
            "VGG is a larger and deeper AlexNet (section 3.1), and VGG-11 computes more than AlexNet (section 3.2)",
            "both sources train it at a quarter of its width, with fewer parameters and FLOPs than AlexNet; "
            "`convarium describe vgg11@d2l` counts all of it",
        ),
        (
            "VGG takes much memory (section 3.1)",
            "what a run records of memory depends on its machine, and is no metric",
        ),
        (
            "More layers of 3×3 kernels are better than fewer of 5×5 at equal cost (section 3.1)",
            "the zoo has no blocks of 5×5 kernels",
        ),
        (
            "Linear layers overfit easily, and NiN less so (section 4.1)",
            "no figures are given; the generalization gaps of the runs of `nin-below-vgg` will tell",
        ),
    ),
    "mnist-report": (
        (
            "The losses, accuracies and digits at a rate of 1 (section 3.2)",
            "a failed run has no mean; that it fails, by one digit that changes, is asked",
        ),
        ("A rate of 0.1 is good too (section 3.2)", "no level is named; its figures are asked"),
        (
            "Sigmoid is worse because it tells two classes apart (section 3.1), and a rate of 1 fails because its "
            "steps are too long (section 3.2)",
            "explanations; what they explain is asked",
        ),
        ("The shortcut matters in deep networks only (section 4)", "asked of He et al. 2015 below, from 20 layers on"),
    ),
    "uva": (
        ("The GoogLeNet of 2014 has nearly 7 million parameters (section 3)", "no study trains it"),
        (
            "Kernels of 5×5 alone overfit more easily than an Inception block (section 3)",
            "no figures are given, and no network of such kernels",
        ),
        ("GoogLeNet trains in less than an hour (section 3)", "a time of one GPU"),
        (
            "When the rate falls, the training loss drops and the accuracies rise (section 3.1)",
            "no kind of claim compares two epochs of one network",
        ),
        ("Pre-activation is better in very deep networks (section 4)", "asked of He et al. 2016 below, at depth 20"),
        (
            "Shortcuts make the loss surface smoother (section 4.4)",
            "quoted from Li et al. 2018; `convarium report depth --diagnostics` draws both surfaces, without a verdict",
        ),
        ("DenseNet has no trouble with Adam (section 5.3)", "no run of it without Adam is shown"),
        (
            "In very deep networks DenseNet needs fewer parameters than ResNet for as much (section 5.3)",
            "the networks here are of one size, and not very deep",
        ),
        ("DenseNet's curves are like GoogLeNet's (section 5.4)", "a shape, judged by eye"),
        (
            "GoogLeNet is slightly below all others on both splits (section 6)",
            "its figures are asked, its distance to ResNet, and that it is close to DenseNet",
        ),
        ("These networks are better than those of the readers' first assignment (section 6)", "they are not shown"),
        (
            "DenseNet is ahead of ResNet in some settings, and dual path networks of both (section 6)",
            "quoted from elsewhere",
        ),
    ),
}
"""Claims by the tag of their source, each with the reason why no study asks it."""
