"""Writes the page that is alive: the networks of a study, test images, and the interpreter, in one HTML file."""

from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from markupsafe import Markup

from convarium.analysis.comparison import METRICS, Comparison, formatting
from convarium.data.folder_options import own_name
from convarium.disk import write_text
from convarium.errors import ConvariumError
from convarium.inference.playground.encoding import encode, encode_images
from convarium.inference.playground.gallery import QUIZ, frame_of, pick_images
from convarium.inference.playground.players import Member, Player, find_players, worst_rounding
from convarium.inference.playground.words import Language, disguise, filled, title_of, words_of
from convarium.pages.chart_style import colors, dark_rules, page_color
from convarium.pages.predictions import read_predictions
from convarium.pages.script_data import script_json
from convarium.pages.templating import templates

_ENGINE = ("interpreter.js", "gradients.js")
_PAGE = ("start.js", "engine.js", "pictures.js", "preprocess.js", "drawing.js", "answers.js", "stages.js", "pixels.js",
         "blocks.js", "training.js", "inside.js", "why.js", "quiz.js", "play.js")  # fmt: skip


@dataclass(frozen=True)
class Playground:
    """A page that was written.

    Attributes:
        path: the file.
        bytes: its size.
        networks: the labels of those that play, and how many seeds of each.
        left_out: a sentence for each network that does not play, and one where planned runs are not there.
    """

    path: Path
    bytes: int
    networks: tuple[tuple[str, int], ...]
    left_out: tuple[str, ...]


def write_playground(
    comparison: Comparison,
    path: Path,
    *,
    test_images: tuple[np.ndarray, np.ndarray] | None,
    seeds: int = 1,
    all_networks: bool = False,
    float32: bool = False,
    epochs: bool = False,
    title: str | None = None,
    hide_names: bool = False,
    quiz: bool = False,
    language: Language = "en",
) -> Playground:
    """Writes the networks of a comparison as a page on which they answer.

    The file contains everything that it needs: it opens without a network connection and makes no requests.

    Args:
        comparison: of runs of one data set that have their weights.
        path: of the HTML file.
        test_images: (n, c, h, w) uint8 pixels and (n,) labels that the runs were scored on; None: the page shows none.
        seeds: runs of each network, at most.
        all_networks: also networks that are too large for a file that is mailed.
        float32: write the weights as they are, instead of rounding them to float16.
        epochs: also the weights after other epochs, where the runs kept them.
        title: of the page.
        hide_names: call the networks "Network A" and so on until the reader asks.
        quiz: begin with ten images on which the networks disagree.
        language: of the page.

    Raises:
        ConvariumError: no network can play, a quiz is asked for without test images, or epochs are and no run kept any.
    """
    if quiz and test_images is None:
        raise ConvariumError(
            "--quiz takes test images, and they are not here", hint="fetch the data set, or leave it out"
        )
    images = None if test_images is None else test_images[0]
    players, left_out = find_players(
        comparison, images=images, seeds=seeds, all_networks=all_networks, float32=float32, epochs=epochs
    )
    paints = _paints([row.label for row in comparison.rows])
    words = words_of(language)
    form = players[0].preprocessing
    gallery, quiz_images = _gallery(comparison, test_images)
    frame = frame_of(np.empty((0, form.channels, form.height, form.width), np.uint8) if images is None else images)
    forms = list(dict.fromkeys(player.preprocessing for player in players))
    networks: list[dict[str, Any]] = []
    encoded: list[dict[str, Any]] = []
    for number, player in enumerate(players):
        networks.append(
            _described(player, comparison, forms.index(player.preprocessing), len(encoded))
            | paints[player.index]
            | {"disguise": disguise(words, number) if hide_names else None}
        )
        encoded += [encode(member.program, float16=not float32) for member in player.members]
    for player, network in zip(players, networks, strict=True):
        network["epochs"] = [
            _epochs(member, number, encoded, float16=not float32)
            for number, member in zip(network["members"], player.members, strict=True)
        ]
    box = f"{frame.box:.0f}" if frame.box else ""
    # The file is mailed, and where one's own images lie is nobody else's business.
    dataset = PurePath(own_name(comparison.dataset)).name
    words["center_why"] = filled(words["center_why"], dataset=dataset, box=box)
    names = {which: [network[which] or network["label"] for network in networks] for which in ("disguise", "label")}
    titles = {which: title or title_of(words, found) for which, found in names.items()}
    text = (
        templates("inference/playground/page")
        .get_template("play.html.j2")
        .render(
            lang={"zh": "zh-CN"}.get(language, language),
            title=titles["disguise"],
            dataset=dataset,
            words=words,
            notes=[one.sentence(words) for one in left_out],
            channels=form.channels,
            has_gallery=gallery is not None,
            has_quiz=quiz,
            hidden_names=hide_names,
            about=[
                {
                    "label": network["disguise"] or player.label,
                    "parameters": f"{network['parameters']:,}",
                    "accuracy": network["accuracy"],
                    "rounding": _rounding_text(player, words),
                }
                for player, network in zip(players, networks, strict=True)
            ],
            data=script_json(
                {
                    "words": words,
                    "classes": form.class_names,
                    "forms": [asdict(one) for one in forms],
                    "frame": asdict(frame),
                    "gallery": gallery,
                    "quiz": quiz_images,
                    "networks": networks,
                    "titles": {"hidden": titles["disguise"], "named": titles["label"]},
                }
            ),
            networks=[script_json(one) for one in encoded],
            css=Markup(_read("play.css") + dark_rules()),  # noqa: S704  our own file
            interpreter=Markup("".join(map(_read, _ENGINE))),  # noqa: S704  our own files
            worker=Markup(_read("worker.js")),  # noqa: S704  our own file
            script=Markup("".join(map(_read, _PAGE))),  # noqa: S704  our own files
        )
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return Playground(
        path,
        len(text.encode()),
        tuple((player.label, len(player.members)) for player in players),
        tuple(one.sentence(words_of("en")) for one in left_out),
    )


def _described(player: Player, comparison: Comparison, form: int, first: int) -> dict[str, Any]:
    row = comparison.rows[player.index]
    metric = METRICS[f"{comparison.split}_accuracy"]
    accuracy = row.estimate(metric)
    return {
        "label": player.label,
        "form": form,
        "members": list(range(first, first + len(player.members))),
        "member_names": [member.name for member in player.members],
        "parameters": row.parameters or 0,
        "flops": row.flops or 0,
        "accuracy": "–" if accuracy is None else formatting.mean(metric, accuracy),
    }


def _paints(labels: list[str]) -> list[dict[str, Any]]:
    """The color of each row, and how often all colors were used before it: colors that come again are striped."""
    found = colors(labels)
    return [{"color": page_color(color), "round": found[:i].count(color)} for i, color in enumerate(found)]


def _rounding_text(player: Player, words: dict[str, Any]) -> str:
    worst = worst_rounding(player.members)
    if worst is None:
        return filled(words["rounding_none"])
    share = f"{100 * worst.largest_difference:.2g}"
    return filled(words["rounding_change"], n=worst.same, of=worst.images, share=share)


def _epochs(member: Member, number: int, encoded: list[dict[str, Any]], *, float16: bool) -> list[dict[str, int]]:
    """The epochs of a member, which has this number, each with the number of its program in `encoded`, to which it is
    added.
    """
    found = []
    for epoch, program in member.epochs:
        is_own = program is member.program
        found.append({"epoch": epoch, "member": number if is_own else len(encoded)})
        if not is_own:
            encoded.append(encode(program, float16=float16))
    return found


def _gallery(
    comparison: Comparison, test_images: tuple[np.ndarray, np.ndarray] | None
) -> tuple[dict[str, Any] | None, list[int]]:
    """The test images of the page, and which of them the quiz asks about."""
    if test_images is None or not len(test_images[1]):
        return None, []
    images, labels = test_images
    stored = read_predictions(comparison)
    voted = [] if stored is None else [np.apply_along_axis(_most, 0, runs) for runs in stored.predicted.values()]
    chosen, split = pick_images(voted or [labels], labels)
    gallery = {
        **encode_images(images[chosen]),
        "labels": [int(labels[i]) for i in chosen],
        "numbers": chosen,
    }
    return gallery, list(range(min(QUIZ, split or len(chosen))))


def _most(votes: np.ndarray) -> int:
    return int(np.bincount(votes).argmax())


def _read(file: str) -> str:
    return (resources.files("convarium.inference.playground") / "page" / file).read_text("utf-8")
