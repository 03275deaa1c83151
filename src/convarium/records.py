"""The records of a run: its network, history, scores, cost, environment and outcome, as frozen dataclasses."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from convarium.chance import predicts_at_chance
from convarium.characters import one_line
from convarium.notebook import html_table

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

LEFT_OUT = "left out since they cannot be read"
"""How the note about images begins that names those that were left out."""

Status = Literal["finished", "diverged", "failed"]


@dataclass(frozen=True)
class ImageSpec:
    """The images that a network takes: (n, channels, height, width), in `classes` classes."""

    channels: int
    height: int
    width: int
    classes: int


@dataclass(frozen=True)
class Preset:
    """A network exactly as one source has it, its defects included.

    Attributes:
        model: the same network as a spec without a tag, with every option that differs from the default.
        image: the images that the source uses.
        source: the article, page or paper that describes it.
        note: what a reader must know about it, above all its defects.
    """

    model: str
    image: ImageSpec
    source: str
    note: str = ""


@dataclass(frozen=True)
class Layer:
    """One call of a module; a block with its layers as `children`.

    Attributes:
        name: the module's path in the network.
        type: its class.
        detail: kernel and stride, where it has them: "3×3 /2".
        output_shape: of one image, (c, h, w) or (features,); None for a layer that the forward pass never calls.
        parameters: trainable numbers, the children's included; where a layer is called twice, those of the first call.
        flops: a multiply-add counted as two, the children's included.
    """

    name: str
    type: str
    detail: str
    output_shape: tuple[int, ...] | None
    parameters: int
    flops: int
    children: tuple["Layer", ...] = ()


@dataclass(frozen=True, repr=False)
class Description:
    """A network layer by layer, on images of one kind.

    Attributes:
        model: the spec that it was described by.
        image: the images.
        root: the whole network.
        citation: the first paragraph of the architecture's file.
        summary: the first line of its factory.
        source, note: of the preset, if it is one.
    """

    model: str
    image: ImageSpec
    root: Layer
    citation: str
    summary: str
    source: str | None
    note: str | None

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers without children, in the order of execution.

        Parameters that a block holds itself, and products that it computes outside its layers, stand in a row under the
        block's own name, so that the rows add up.
        """
        return tuple(_leaves(self.root))

    def __repr__(self) -> str:
        return f"Description({self.model!r}, {self.root.parameters:,} parameters, {len(self.layers)} layers)"

    def _repr_html_(self) -> str:
        """The network block by block; `layers` has every layer."""
        parts = [*self.root.children, self.root] if self.root.children else [self.root]
        rows = [
            (
                part.name or "all",
                part.type,
                part.detail,
                "×".join(map(str, part.output_shape or ())),
                f"{part.parameters:,}",
                f"{part.flops:,}",
            )
            for part in parts
        ]
        columns = ("layer or block", "type", "kernel", "output", "parameters", "FLOPs")
        return html_table(
            columns, rows, title=self.model, sentences=[self.summary], text=("type", "kernel", "output"),
            notes=[note for note in (self.source, self.note) if note],
        )  # fmt: skip


@dataclass(frozen=True)
class Epoch:
    """One row of `history.jsonl`. Losses are means in nats, weighted by samples; accuracies are fractions of 1.

    `train_*` are running means over the steps of the epoch, while the weights change; the others are evaluations of the
    weights at the end of the epoch. `train_loss` is the loss that is minimized, with the recipe's label smoothing and
    class weights; the other losses have neither. A column without a value is None.
    """

    epoch: int
    steps: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    seconds: float


@dataclass(frozen=True, repr=False)
class Scores:
    """One model on one split. Loss in nats, accuracies as fractions of 1.

    Attributes:
        per_class: recall of each class by name; None for a class without an image in the split.
        confusion: confusion[true][predicted], counts.
        calibration_error: expected calibration error, 15 equal-width bins of confidence.
        n: number of images.
    """

    accuracy: float
    loss: float
    per_class: Mapping[str, float | None]
    confusion: tuple[tuple[int, ...], ...]
    calibration_error: float
    n: int

    def __repr__(self) -> str:
        return f"Scores(accuracy={self.accuracy:.4f}, loss={self.loss:.4f}, n={self.n:,})"

    def _repr_html_(self) -> str:
        """A sentence, and the accuracy of each class."""
        rows = [
            (name, None if recall is None else f"{100 * recall:.1f}", f"{sum(counts):,}")
            for (name, recall), counts in zip(self.per_class.items(), self.confusion, strict=False)
        ]
        sentence = (
            f"accuracy {100 * self.accuracy:.2f} % of {self.n:,} images, loss {self.loss:.4f}, "
            f"calibration error {self.calibration_error:.3f}"
        )
        return html_table(("class", "accuracy, %", "images"), rows, sentences=[sentence])


@dataclass(frozen=True)
class Preprocessing:
    """How an image file becomes the input of a network, and what the network's outputs stand for.

    A file is read as an image of 8 bits, (channels, height, width), which is what a data set holds. Batches of these
    are resized if `resize` says so, divided by 255 and normalized: (pixels / 255 - mean) / std.

    Attributes:
        class_names: in the order of the logits.
        channels: 1 for gray, 3 for RGB.
        height, width: in pixels, of the images as they are read, always bilinearly by Pillow.
        fit: how an image comes to that size: "stretch", "pad" or "crop".
        ground: what transparent pixels lie on, and padded ones: red, green and blue, 0 to 255.
        white: the value of white in images of more than 8 bits; None where the data set had none.
        resize: side in pixels that batches are brought to, bilinearly with antialiasing, as `data.batches.Batches` does
            it; None: the network takes the images in the size in which they are read.
        mean, std: by channel, or one for all, in units of 1 = white.
    """

    class_names: tuple[str, ...]
    channels: int
    height: int
    width: int
    fit: str
    ground: tuple[int, int, int]
    white: int | None
    resize: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def image(self) -> ImageSpec:
        """The images that the network takes, resizing included."""
        height, width = (self.resize, self.resize) if self.resize else (self.height, self.width)
        return ImageSpec(self.channels, height, width, len(self.class_names))


@dataclass(frozen=True)
class Cost:
    """The cost of a run.

    Attributes:
        parameters: trainable numbers in the network.
        flops: floating-point operations of one image's forward pass, a multiply-add counted as two.
        train_seconds: wall-clock time of the training steps, without evaluation, loading and compiling.
        total_seconds: wall-clock time of the whole fit, with the final scoring.
        images_per_second: training images by train_seconds.
        peak_memory_bytes: highest resident memory of the process (CPU) or allocated memory (CUDA) so far; None where
            the system does not count it.
    """

    parameters: int
    flops: int
    train_seconds: float
    total_seconds: float
    images_per_second: float
    peak_memory_bytes: int | None


@dataclass(frozen=True)
class Environment:
    """The machine and software that made a run. They may change its speed and its last bits, but not its meaning.

    Attributes:
        kernels: the kernels that computed the layers of its training steps: "torch", or Convarium's own on a CPU,
            with a digest of their source. None in records that are older than this field.
        workers: processes among which the runs of a study were divided, each of which trained with `threads` threads;
            1: one process trained all.
        code: a digest of the source files that decide a run's numbers, see `runs.environment.code_digest`; None in
            records that are older than this field.
        engine: what carried the training steps out: the native loop, or "Lightning 2.6.0 on 2 devices".
        processor_model: family, model and stepping of the processor, of which several share one name; None where the
            system does not tell them, and in records that are older than this field.
        instruction_sets: those of the processor's instruction sets that compute with numbers, "avx2 fma avx512f"; None
            likewise.
    """

    convarium: str
    python: str
    torch: str
    platform: str
    processor: str
    device: str
    threads: int
    stack: tuple[str, ...] = ()
    commit: str | None = None
    started: str = ""
    kernels: str | None = None
    code: str | None = None
    workers: int = 1
    engine: str = "native"
    processor_model: str | None = None
    instruction_sets: str | None = None


@dataclass(frozen=True, repr=False)
class Outcome:
    """The result of one run.

    Attributes:
        status: "finished"; "diverged" (a loss, or at the end a weight or a score, was not finite); "failed". `message`
            says why.
        history: one row an epoch.
        environment: in which the run was trained, or its last part.
        earlier: the environments of its earlier parts, if it was interrupted and went on in another one.
        image: the images that the network took, resizing included; None in records that are older than this field.
        network: its layers; None where the run failed, and in older records.
        preprocessing: how images become its input; None where the run failed, and in a stored run, where
            `StoredRun.preprocessing` reads it.
        data_notes: what a user may not expect of the images, in sentences: how transparent ones were read, which ones
            are in two splits.
        unreadable_images: how many were left out since they could not be read.
        passed_over_files: how many files of a folder of images were passed over.
        retried: why the run was tried again, as when the process that trained it was killed; None where it was not.
        skipped_steps: training steps that changed no weight, because in float16 a gradient was not finite; None in
            other precisions.
        step_loss, step_accuracy: one value a training step, float32.
        selected_epoch: the epoch whose weights are scored and stored (counted from 1).
        train: scores of these weights on the training images, without augmentation; the history has running means. None
            in records that are older than this field.
        validation, test: scores of these weights on the validation and test images.
        logits, labels: (n, classes) float32 and (n,) int64 over the test split; over the validation split where no
            images are held out for a test.
        weights: the selected weights by their names in the network.
    """

    status: Status
    history: tuple[Epoch, ...]
    environment: Environment
    cost: Cost | None = None
    message: str | None = None
    selected_epoch: int | None = None
    train: Scores | None = None
    validation: Scores | None = None
    test: Scores | None = None
    image: ImageSpec | None = None
    earlier: tuple[Environment, ...] = ()
    skipped_steps: int | None = None
    data_notes: tuple[str, ...] = ()
    unreadable_images: int = 0
    passed_over_files: int = 0
    retried: str | None = None
    network: Description | None = field(default=None, repr=False, compare=False)
    preprocessing: Preprocessing | None = field(default=None, repr=False, compare=False)
    step_loss: "np.ndarray | None" = field(default=None, repr=False, compare=False)
    step_accuracy: "np.ndarray | None" = field(default=None, repr=False, compare=False)
    logits: "np.ndarray | None" = field(default=None, repr=False, compare=False)
    labels: "np.ndarray | None" = field(default=None, repr=False, compare=False)
    weights: "Mapping[str, Tensor] | None" = field(default=None, repr=False, compare=False)

    @property
    def largest_scores(self) -> Scores | None:
        """The scores of the largest set that was scored: mostly the training images, in older records the test ones."""
        scored = [scores for scores in (self.test, self.validation, self.train) if scores and scores.n]
        return max(scored, key=lambda scores: scores.n, default=None)

    @property
    def is_at_chance(self) -> bool | None:
        """Whether a finished run does no better than always naming one class, on the largest set that was scored.

        None where even that set has too few images to tell; see `chance.predicts_at_chance`.
        """
        scores = self.largest_scores
        if self.status != "finished" or scores is None:
            return False
        return predicts_at_chance(scores.confusion)

    @property
    def sentence(self) -> str:
        """How the run ended: "finished after 10 epochs: test accuracy 86.21 % of 360 images"."""
        epochs = len(self.history)
        text = f"{self.status} after {epochs} epoch{'' if epochs == 1 else 's'}"
        name, scores = ("test", self.test) if self.test else ("validation", self.validation)
        if self.message:
            return f"{text}: {self.message}"
        if scores is None:
            return text
        text = f"{text}: {name} accuracy {100 * scores.accuracy:.2f} % of {scores.n:,} images"
        return f"{text}, at chance" if self.is_at_chance else text

    def __repr__(self) -> str:
        return f"Outcome({one_line(self.sentence)})"

    def _repr_html_(self) -> str:
        """A sentence, and accuracy and loss of each split."""
        return self.as_html()

    def as_html(self, title: str = "") -> str:
        """What a notebook shows of the run, under a title."""
        splits = {"training": self.train, "validation": self.validation, "test": self.test}
        rows = [
            (name, f"{100 * scores.accuracy:.2f}", f"{scores.loss:.4f}", f"{scores.n:,}")
            for name, scores in splits.items()
            if scores
        ]
        cost = self.cost
        notes = [f"{cost.parameters:,} parameters; {cost.train_seconds:,.1f} s of training"] if cost else []
        columns = ("split", "accuracy, %", "loss", "images")
        return html_table(columns, rows, title=title, sentences=[self.sentence], notes=[*notes, *self.data_notes])


def _leaves(layer: Layer) -> Iterator[Layer]:
    if not layer.children:
        yield layer
    for child in layer.children:
        yield from _leaves(child)
