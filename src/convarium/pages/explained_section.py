"""For which pixels the networks of a study give their answers: the pictures of the page, image by image."""

from collections.abc import Sequence
from dataclasses import dataclass

from convarium.diagnostics import Diagnosis
from convarium.diagnostics.results import LIMITS, Method
from convarium.pages.pictures import Picture, heat_picture, thumbnail

TITLES: dict[Method, str] = {"saliency": "Saliency", "grad_cam": "Grad-CAM", "occlusion": "Occlusion"}
"""The methods, each with its name in the head of a column."""

_SHOWS: dict[Method, str] = {
    "saliency": "How strongly the answer's logit reacts to a tiny change of each pixel.",
    "grad_cam": "Where the features of the deepest convolution raise the answer's logit.",
    "occlusion": "How far the answer's probability falls when a square of the mean color covers the place.",
}
SENTENCES = {title: f"{_SHOWS[method]} {LIMITS[method]}" for method, title in TITLES.items()}
"""What each method shows, and what it does not."""


@dataclass(frozen=True)
class ExplainedAnswer:
    """A network's answer to an image.

    Attributes:
        label: of the network.
        answer: the class.
        is_right: whether it is the image's class.
        pictures: one for each of `TITLES`; None where the network has no convolution.
    """

    label: str
    answer: str
    is_right: bool
    pictures: tuple[Picture | None, ...]


@dataclass(frozen=True)
class ExplainedImageRows:
    """A test image, with the answers of all networks; `image` is its picture, and `caption` its number and class."""

    image: Picture
    answers: tuple[ExplainedAnswer, ...]


def explained_rows(diagnoses: Sequence[Diagnosis]) -> tuple[ExplainedImageRows, ...]:
    """The images that the diagnoses explain, in their order; each with the networks in theirs."""
    numbers = dict.fromkeys(image.number for diagnosis in diagnoses for image in diagnosis.explained)
    return tuple(_rows(diagnoses, number) for number in numbers)


def _rows(diagnoses: Sequence[Diagnosis], number: int) -> ExplainedImageRows:
    found = [(d.label, image) for d in diagnoses for image in d.explained if image.number == number]
    _, first = found[0]
    answers = []
    for label, image in found:
        heats = {explanation.method: explanation.heat for explanation in image.explanations}
        pictures = tuple(
            Picture(
                f"{title} of {label} on test image {number}, for its answer {image.answer}",
                heat_picture(image.image, heats[method]),
            )
            if method in heats
            else None
            for method, title in TITLES.items()
        )
        answers.append(ExplainedAnswer(label, image.answer, image.answer == image.true, pictures))
    return ExplainedImageRows(Picture(f"Test image {number}: {first.true}", thumbnail(first.image)), tuple(answers))
