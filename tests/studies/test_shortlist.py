"""What is tried on images that nothing is known of fits them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convarium.models.build import check_image
from convarium.records import ImageSpec
from convarium.studies.shortlist import NETWORKS, SIDES, shortlist, usual_batch, usual_side

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("height", "width", "side"),
    [(28, 28, None), (33, 33, None), (64, 64, None), (8, 8, 28), (30, 34, 32), (375, 500, 64), (20, 20, 28)],
)
def test_images_keep_their_size_where_networks_take_it(height, width, side):
    assert usual_side(height, width) == side


def test_a_gpu_has_the_time_for_larger_images():
    assert usual_side(375, 500, on_gpu=True) == 128


@given(st.integers(1, 100_000))
def test_a_batch_fits_the_training_images_and_leaves_no_single_one(images):
    size = usual_batch(images)
    assert 1 <= size <= min(64, images)
    assert images < 3 or images % size != 1


@pytest.mark.parametrize(("channels", "side"), [(1, SIDES[0]), (3, SIDES[-1])])
def test_every_network_of_the_shortlist_takes_images_of_the_usual_sizes(channels, side):
    image = ImageSpec(channels, side, side, 3)
    assert shortlist(image, CPU) == list(NETWORKS)


def test_a_gpu_gets_larger_networks_too():
    assert set(NETWORKS) < set(shortlist(ImageSpec(3, 32, 32, 3), GPU))


def test_networks_that_do_not_take_the_images_are_not_proposed():
    few = shortlist(ImageSpec(1, 8, 8, 2), CPU)
    assert few
    assert len(few) < len(NETWORKS)
    for name in few:
        check_image(name, ImageSpec(1, 8, 8, 2))
