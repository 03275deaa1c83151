"""The section 'Inside the training' of the page: its texts, charts and pictures."""

import base64
import dataclasses
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from convarium.cli import main
from convarium.diagnostics import (
    AugmentedImages,
    Diagnosis,
    ExplainedImage,
    Explanation,
    FeatureMaps,
    Filters,
    LayerGradient,
    LossSurface,
    MissingDiagnosis,
    UnitActivity,
)
from convarium.errors import ConvariumError
from convarium.pages import plot_gradients, plot_surface, plot_units, save_figures
from convarium.pages.diagnostics_charts import gradient_points, surface_points, unit_points
from convarium.pages.diagnostics_section import summaries
from convarium.pages.explained_section import SENTENCES, TITLES
from convarium.pages.page import render
from convarium.pages.pictures import augmented_sheet, filters_sheet, heat_picture, maps_sheet
from convarium.pages.surface_charts import contour_points, loss_bands
from html_page import Reader, data_of
from made_studies import made_study
from seals import mend_seal

HEAD = "Inside the training"
REASON = "its runs were stored without their weights"


def diagnosis(label: str, layers: int = 5, *, worst: float = 50.0, size: int = 5) -> Diagnosis:
    """A network whose gradient falls tenfold a layer at the start and not at all at the end."""
    norms = {"initial": [10.0 ** (i - layers) for i in range(layers)], "final": [0.5] * layers}
    gradients = {
        moment: tuple(LayerGradient(i, f"layer{i}", norm, norm / 10) for i, norm in enumerate(of, start=1))
        for moment, of in norms.items()
    }
    offsets = np.linspace(-1, 1, size)
    losses = 0.1 + worst * (offsets[:, None] ** 2 + offsets[None, :] ** 2) / 2
    images = np.arange(2 * 8 * 8, dtype=np.uint8).reshape(2, 1, 8, 8)
    heats = [Explanation(method, 3, None, np.eye(8 if method != "grad_cam" else 4)) for method in TITLES]
    return Diagnosis(
        label=label,
        seed=0,
        activity=(
            UnitActivity(1, "act1", "relu", 6, 2, 0.5, "dead"),
            UnitActivity(2, "act2", "tanh", 4, 1, 0.3, "saturated"),
        ),
        surface=LossSurface(offsets, losses, 64),
        filters=Filters("conv", np.linspace(-1, 2, 3 * 3 * 3).reshape(3, 1, 3, 3), 3),
        image=images[0],
        maps=(FeatureMaps("act1", np.random.default_rng(0).random((4, 6, 6)), 20),),
        augmented=AugmentedImages("flip", images, np.stack([images, images[..., ::-1]], axis=1)),
        image_count=256,
        explained=tuple(
            ExplainedImage(number, images[0], "5", "3" if number == 7 else "5", tuple(heats)) for number in (7, 2)
        ),
        **gradients,
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return made_study(tmp_path_factory.mktemp("study"), {"lenet": 0.9, "residual_cnn": 0.97, "nin": 0.9}, epochs=2)


@pytest.fixture(scope="module")
def diagnoses():
    return (diagnosis("lenet"), diagnosis("residual_cnn", 60, worst=900), MissingDiagnosis("nin", REASON))


@pytest.fixture(scope="module")
def html(study, diagnoses):
    return render(study, diagnoses=diagnoses)


# ---- the page ------------------------------------------------------------------------------------------------------


def test_the_section_is_there_if_asked_for_and_only_then(study, html):
    without = render(study)
    assert HEAD not in Reader(without).visible
    shown = Reader(html).visible
    assert shown.index("Confidence and agreement") < shown.index(HEAD) < shown.index("Networks, layer by layer")
    assert f"nin is not shown: {REASON}." in shown
    specs = data_of(html)["specs"]
    charts = re.findall(r'data-chart="((?:gradients|units|surface)/[\w/]+)"', html)
    expected = [
        "gradients/initial",
        "gradients/final",
        "units/inactive_unit_share",
        "units/inactive_output_share",
        *(f"surface/{network}/{part}" for network in (0, 1) for part in ("shared", "own", "scale")),
    ]
    assert charts == [*expected, "surface/scale", "surface/slice"]
    assert set(charts) <= set(specs)
    assert not any(name.startswith(("gradients", "units", "surface")) for name in data_of(without)["specs"])


def test_every_picture_is_inside_the_page_and_described(html):
    tags = Reader(html).tags
    images = [attributes for tag, attributes in tags if tag == "img"]
    explained = 2 * (1 + 2 * 3)  # of two images the image itself, and for two networks three pictures
    assert len(images) == 2 * (1 + 1 + 1) + 1 + explained  # filters, image and maps of two networks; one augmentation
    assert all(image["src"].startswith("data:image/png;base64,") and image["alt"] for image in images)
    figures = [a for tag, a in tags if tag == "figure" and "data-chart" in a]
    assert all(a["aria-label"] for a in figures)


def test_answers_are_explained_image_by_image_with_what_no_method_shows(html):
    shown = Reader(html).visible
    assert shown.index("Test image 7: 5") < shown.index("Test image 2: 5")
    assert all(sentence in shown and "It does not show" in sentence for sentence in SENTENCES.values())
    pictures = [a["alt"] for tag, a in Reader(html).tags if tag == "img" and "for its answer" in a.get("alt", "")]
    assert pictures[0] == "Saliency of lenet on test image 7, for its answer 3"
    assert len(set(pictures)) == 2 * 2 * 3


def test_a_network_with_nothing_to_draw_says_so(study):
    bare = diagnosis("lenet")
    (image, *_) = bare.explained
    kept = dataclasses.replace(image, explanations=tuple(e for e in image.explanations if e.method != "grad_cam"))
    bare = dataclasses.replace(bare, filters=None, maps=(), augmented=None, activity=(), explained=(kept,))
    html = render(study, diagnoses=(bare,))
    shown = Reader(html).visible
    assert "its first layer cannot be drawn as an image" in shown
    assert "No layer of this network keeps the rows and columns of the image." in shown
    assert "What does the augmentation do?" not in shown
    assert "no convolution" in shown
    assert "Which units" not in shown
    assert "units/inactive_unit_share" not in data_of(html)["specs"]


def test_a_page_of_which_no_network_could_be_examined(study):
    shown = Reader(render(study, diagnoses=(MissingDiagnosis("lenet", REASON),))).visible
    assert "None of the networks could be examined." in shown
    assert "Does the gradient" not in shown


def test_names_are_escaped(tmp_path):
    label = "</script><b>'\"x"
    hostile = (diagnosis(label), MissingDiagnosis("<i>y", "<u>z"))
    text = render(made_study(tmp_path, {"lenet": 0.9}, seeds=1, epochs=1), diagnoses=hostile)
    assert label in Reader(text).visible
    assert not {"b", "i", "u"} & {tag for tag, _ in Reader(text).tags}
    assert label in data_of(text)["tables"]["gradients"]["label"]


def test_vanished_gradients_and_losses_that_are_no_numbers_leave_the_page_whole(study):
    broken = diagnosis("lenet")
    losses = broken.surface.losses.copy()
    losses[0, 0], losses[0, 1] = np.nan, np.inf
    dead = tuple(dataclasses.replace(layer, norm=0.0, rms=0.0) for layer in broken.initial)
    surface = dataclasses.replace(broken.surface, losses=losses)
    text = render(study, diagnoses=(dataclasses.replace(broken, initial=dead, surface=surface),))
    shown = Reader(text).visible
    assert "nan" not in shown
    assert data_of(text)["tables"]["slice"]["loss"] == pytest.approx(losses[:, 2], rel=1e-4)
    lost = dataclasses.replace(surface, losses=np.full((5, 5), np.nan))
    html = render(study, diagnoses=(dataclasses.replace(broken, surface=lost),))
    assert "nan" not in Reader(html).visible
    assert "How rough" not in Reader(html).visible


# ---- numbers -------------------------------------------------------------------------------------------------------


def test_lines_and_points_are_the_diagnoses(diagnoses):
    lenet, deep = summaries(diagnoses)
    assert (lenet.layers, deep.layers) == (5, 60)
    assert lenet.gradient_ratio == {"initial": pytest.approx(1e-4), "final": 1.0}
    assert (lenet.inactive_units, lenet.units) == (3, 10)
    assert (lenet.center, lenet.highest) == (pytest.approx(0.1), pytest.approx(50.1))
    points = gradient_points(diagnoses)
    assert len(points) == 2 * (5 + 60)
    for _, layers in points.groupby(["label", "moment"]):
        assert (layers["position"].min(), layers["position"].max()) == (0, 1)
    units = unit_points(diagnoses)
    assert units["inactive_unit_share"].tolist() == pytest.approx([2 / 6, 1 / 4] * 2)
    surfaces = surface_points(diagnoses)
    assert len(surfaces) == 2 * 25
    corner = surfaces[(surfaces["label"] == "lenet") & (surfaces["first"] == -1) & (surfaces["second"] == 0)]
    assert corner["loss"].item() == pytest.approx(0.1 + 50 / 2)


def test_contours_divide_every_surface_into_bands_of_round_losses(diagnoses):
    surfaces = surface_points(diagnoses)
    bands = loss_bands(surfaces)
    assert bands.levels == (0.3, 1, 3, 10, 30, 100, 300)
    assert bands.labels[:2] + bands.labels[-1:] == ["under 0.3", "0.3 to 1", "over 300"]
    contours = contour_points(surfaces, bands)
    assert set(contours[contours["network"] == 0]["loss"]) == set(bands.labels[:6])
    own = loss_bands(surfaces[surfaces["network"] == 0])
    assert own.levels == (0.2, 0.5, 1, 2, 5, 10, 20, 50)
    flat = loss_bands(surfaces.assign(loss=2.0))
    assert flat.labels == ["under 2", "over 2"]


def area_of(path: str) -> float:
    """The area within the rings of a path; a hole goes the other way round."""
    rings = [np.array([[*map(float, at.split(","))] for at in ring.split("L")]) for ring in re.findall("M(.*?)Z", path)]
    return sum(
        float((ring[:, 0] * np.roll(ring[:, 1], -1) - np.roll(ring[:, 0], -1) * ring[:, 1]).sum() / 2) for ring in rings
    )


def test_the_bands_of_a_surface_cover_it_once_and_leave_out_what_is_not_finite(diagnoses):
    surfaces = surface_points(diagnoses)
    contours = contour_points(surfaces, loss_bands(surfaces))
    for _, own in contours.groupby("network"):
        assert abs(sum(map(area_of, own["path"]))) == pytest.approx(4, abs=0.05)
    lost = surfaces[(surfaces["first"] > -1) | (surfaces["second"] > -1)]  # one corner of a grid of 5 by 5
    contours = contour_points(lost, loss_bands(lost))
    for _, own in contours.groupby("network"):
        assert abs(sum(map(area_of, own["path"]))) == pytest.approx(4 - 0.25 / 2, abs=0.14)


def test_surfaces_have_one_scale_or_one_each(diagnoses):
    shared, own = (json.dumps(plot_surface(diagnoses, scale=scale).to_dict()) for scale in ("shared", "own"))
    assert shared.count("the same colors for all networks") == 1
    assert "the same colors" not in own
    with pytest.raises(ConvariumError, match="'shared' or 'own'"):
        plot_surface(diagnoses, scale="both")


def test_a_layer_alone_is_the_last():
    (point,) = gradient_points((diagnosis("lenet", 1),)).query("moment == 'final'").to_dict("records")
    assert (point["depth"], point["layers"], point["position"]) == (1, 1, 1.0)


# ---- pictures ------------------------------------------------------------------------------------------------------


def opened(source: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))


def test_zero_is_gray_in_a_filter_and_nothing_is_between_the_filters():
    weights = np.array([[[[0.0, 1.0], [-1.0, 0.5]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    sheet = opened(filters_sheet(Filters("conv", weights, 2)))
    assert sheet.shape == (40, 86, 4)  # two tiles of 2×2 enlarged 20 times, 6 pixels apart
    assert sheet[::20, 0:40:20, 0].tolist() == [[128, 255], [0, 191]]
    assert (sheet[:, 40:46, 3] == 0).all()
    assert (sheet[:, 46:, :3] == 128).all()


def test_the_lowest_value_of_a_map_is_dark_blue_and_the_highest_yellow():
    sheet = opened(maps_sheet(FeatureMaps("act", np.array([[[0.0, 3.0]]]), 1)))
    assert sheet[0, 0].tolist() == [68, 1, 84, 255]
    assert sheet[0, -1].tolist() == [253, 231, 37, 255]
    assert (opened(maps_sheet(FeatureMaps("act", np.zeros((2, 70, 70)), 2)))[..., 0] <= 68).all()  # dead, and large


def test_augmented_images_stand_behind_their_originals():
    images = np.zeros((2, 3, 56, 56), dtype=np.uint8)
    changed = np.full((2, 4, 3, 56, 56), 200, dtype=np.uint8)
    sheet = opened(augmented_sheet(AugmentedImages("flip", images, changed)))
    assert sheet.shape == (2 * 56 + 6, 5 * 56 + 4 * 6 + 12, 4)
    assert (sheet[:56, :56, :3] == 0).all()
    assert (sheet[:, 56:74, 3] == 0).all()
    assert (sheet[:56, 74:130, :3] == 200).all()


def test_the_hottest_place_of_a_heat_map_is_yellow_and_the_image_shows_through_where_it_is_cold():
    heat = np.zeros((4, 4))
    heat[1, 2] = 3.0
    image = np.full((3, 4, 4), 200, np.uint8)
    drawn = opened(heat_picture(image, heat))
    assert drawn.shape == (4, 4, 3)
    assert np.abs(drawn[1, 2].astype(int) - [253, 231, 37]).max() < 25
    assert 60 < drawn[3, 0].mean() < 100
    assert (opened(heat_picture(image, np.full((2, 2), np.nan))) == drawn[3, 0]).all()
    assert max(opened(heat_picture(np.zeros((3, 300, 200), np.uint8), heat)).shape) == 96


# ---- figures and the command line ----------------------------------------------------------------------------------


def test_figures_come_with_their_data(study, diagnoses, tmp_path):
    names = {path.name for path in save_figures(study, tmp_path, diagnoses=diagnoses)}
    added = {
        f"{name}.{ending}" for name in ("gradients", "units", "surface") for ending in ("svg", "pdf", "png", "csv")
    }
    assert names > added
    assert len(pd.read_csv(tmp_path / "surface.csv")) == 2 * 25


@pytest.mark.parametrize("plot", [plot_gradients, plot_units, plot_surface])
def test_there_is_no_chart_of_missing_diagnoses(plot):
    with pytest.raises(ConvariumError, match="no network has diagnostics"):
        plot((MissingDiagnosis("nin", REASON),))


def test_report_has_diagnostics_if_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    asked = ["compare", "lenet", "memory_mlp(hidden=16)", "--seeds", "1", "--epochs", "1", "--batch-size", "256"]
    assert main([*asked, "--name", "two"]) == 0
    html = tmp_path / "studies" / "two" / "report.html"
    assert HEAD not in html.read_text("utf-8")
    for path in tmp_path.glob("runs/digits-memory_mlp*"):
        mend_seal(path, lambda seal: seal["files"].pop("weights.safetensors") and seal.update(kind="record"))
        (path / "weights.safetensors").unlink()  # as in records that are stored without weights
    capsys.readouterr()
    assert main(["report", "two", "--diagnostics"]) == 0
    messages = capsys.readouterr().err
    assert "diagnosing lenet" in messages
    assert f"memory_mlp(hidden=16) has no diagnostics: {REASON}" in messages
    assert HEAD in html.read_text("utf-8")
    assert list(tmp_path.glob("runs/*lenet*/surface.safetensors"))
    assert main(["report", "two"]) == 0
    assert HEAD not in html.read_text("utf-8")
