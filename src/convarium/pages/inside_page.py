"""The section 'Inside the training' of the page: its words, numbers and pictures."""

from dataclasses import dataclass

from convarium.analysis.comparison import formatting
from convarium.diagnostics import Diagnosis, Undiagnosed
from convarium.pages.inside import Diagnoses, InsideLine, inside_lines, known
from convarium.pages.pictures import augmented_sheet, data_uri, filters_sheet, maps_sheet


@dataclass(frozen=True)
class Sheet:
    """A picture with what stands under it."""

    told: str
    source: str


@dataclass(frozen=True)
class InsideNetwork:
    """One network's pictures; `number` is that of its loss surface."""

    label: str
    number: int
    filters: Sheet | None
    image: str
    maps: tuple[Sheet, ...]


@dataclass(frozen=True)
class Inside:
    """All that the section shows beside its charts.

    Attributes:
        told: which runs, and on how many images.
        surface: on how many images the surfaces were measured, and on how many points, in words.
        missing: what could not be looked at, and why.
        augmented: one sheet a law of augmentation; none where nothing is augmented.
    """

    told: str
    surface: str
    lines: tuple[InsideLine, ...]
    networks: tuple[InsideNetwork, ...]
    augmented: tuple[Sheet, ...]
    missing: tuple[Undiagnosed, ...]


def inside_page(diagnoses: Diagnoses) -> Inside | None:
    """The section of these diagnoses; None where none was asked for."""
    if not diagnoses:
        return None
    found = known(diagnoses)
    laws = {one.augmented.law: one.augmented for one in found if one.augmented is not None}
    return Inside(
        told=_told(found),
        surface=_surface(found),
        lines=inside_lines(diagnoses),
        networks=tuple(_network(one, number) for number, one in enumerate(found)),
        augmented=tuple(Sheet(law, augmented_sheet(augmented)) for law, augmented in laws.items()),
        missing=tuple(one for one in diagnoses if isinstance(one, Undiagnosed)),
    )


def _network(one: Diagnosis, number: int) -> InsideNetwork:
    filters = None
    if one.filters is not None:
        shown, _, height, width = one.filters.weights.shape
        told = f"{_first(shown, one.filters.of, 'filters')} of {height}×{width} in {one.filters.layer}"
        filters = Sheet(told, filters_sheet(one.filters))
    maps = tuple(
        Sheet(
            f"{maps.layer}: {_first(len(maps.maps), maps.of, 'channels')} of {maps.maps.shape[1]}×{maps.maps.shape[2]}",
            maps_sheet(maps),
        )
        for maps in one.maps
    )
    return InsideNetwork(one.label, number, filters, data_uri(one.image.numpy()), maps)


def _first(shown: int, of: int, what: str) -> str:
    return f"all {of:,} {what}" if shown == of else f"the first {shown} of {of:,} {what}"


def _told(found: list[Diagnosis]) -> str:
    seeds = sorted({one.seed for one in found})
    images = sorted({one.images for one in found})
    which = f"seed {formatting.listed([str(seed) for seed in seeds])}" if seeds else ""
    numbers = formatting.listed([f"{n:,}" for n in images])
    return (
        f"One run stands for each network: the first that finished with its weights stored ({which}). "
        f"It was looked at on {numbers} training images, not augmented; nothing was trained for it."
        if found
        else "None of the networks could be looked at."
    )


def _surface(found: list[Diagnosis]) -> str:
    if not found:
        return ""
    images = formatting.listed([f"{n:,}" for n in sorted({one.surface.images for one in found})])
    size = len(found[0].surface.offsets)
    return f"{size}×{size} points, each the mean loss over {images} training images"
