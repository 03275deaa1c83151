"""Names in a chart stand on nothing, whatever the points are."""

import itertools

import numpy as np
import pytest

from convarium.pages.label_places import place_labels, text_width
from convarium.pages.names import shortened_name

WIDTH, HEIGHT, FONT = 270.0, 320.0, 12


def placed(points, names=None, lines=()):
    names = names or [f"network_{i}" for i in range(len(points))]
    return place_labels(names, points, lines=lines, width=WIDTH, height=HEIGHT, font_size=FONT)


def box_of(place):
    return (place.left, place.middle - FONT / 2, place.left + text_width(place.text, FONT), place.middle + FONT / 2)


def touch(one, other):
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def points_of(line, n=200):
    x0, y0, x1, y1 = line
    return [(x0 + (x1 - x0) * t, y0 + (y1 - y0) * t) for t in np.linspace(0, 1, n)]


def within(point, box):
    return box[0] < point[0] < box[2] and box[1] < point[1] < box[3]


def scattered(n, seed):
    rng = np.random.default_rng(seed)
    return [(float(x), float(y)) for x, y in rng.uniform([15, 130], [WIDTH - 15, HEIGHT - 10], (n, 2))]


@pytest.mark.parametrize("n", [2, 5, 8, 12])
@pytest.mark.parametrize("seed", range(3))
def test_names_stand_on_no_point_no_line_and_no_other_name(n, seed):
    points = scattered(n, seed)
    lines = [(x, y - 20, x, y + 20) for x, y in points]
    places = placed(points, lines=lines)
    assert None not in places
    boxes = [box_of(place) for place in places]
    assert not any(touch(one, other) for one, other in itertools.combinations(boxes, 2))
    for box in boxes:
        assert box[0] >= 0
        assert box[1] >= 0
        assert box[2] <= WIDTH
        assert box[3] <= HEIGHT
        assert not any(within(point, box) for point in points)
        assert not any(within(p, box) for line in lines for p in points_of(line))
        leaders = [place.leader for place in places if place.leader]
        assert not any(within(p, box) for leader in leaders for p in points_of(leader))


@pytest.mark.parametrize("n", [2, 12])
def test_names_of_equal_points_stand_below_one_another(n):
    places = placed([(130.0, 200.0)] * n)
    assert None not in places
    boxes = [box_of(place) for place in places]
    assert not any(touch(one, other) for one, other in itertools.combinations(boxes, 2))
    assert [place.middle for place in places] == sorted(place.middle for place in places)
    assert len({place.left for place in places}) == 1


def test_a_name_that_stands_far_from_its_point_has_a_line_to_it():
    points = [(120.0 + 12 * (i % 3), 200.0 + 12 * (i // 3)) for i in range(9)]
    places = placed(points)
    assert None not in places
    far = [(place, point) for place, point in zip(places, points, strict=True) if place.leader]
    assert far
    assert all(place.leader[:2] == point for place, point in far)


def test_a_single_name_stands_beside_its_point_without_a_line():
    (place,) = placed([(50.0, 200.0)])
    assert place.leader is None
    assert 50 < place.left < 60


def test_a_name_that_has_no_room_is_left_out():
    assert place_labels(["x" * 24], [(10.0, 10.0)], lines=[], width=40, height=40, font_size=12) == [None]


def test_long_names_lose_their_middle_unless_that_makes_two_alike():
    one, other = "resnet(depth=20, activation='relu')", "resnet(depth=56, activation='relu')"
    assert shortened_name(one) == "resnet(d…ctivation='relu')"[:8] + "…" + one[-15:]
    assert [place.text for place in placed([(9.0, 99.0), (99.0, 250.0)], [one, "lenet"])] == [
        shortened_name(one),
        "lenet",
    ]
    places = place_labels([one, other], [(9.0, 99.0), (99.0, 250.0)], lines=[], width=600, height=300, font_size=12)
    assert [place.text for place in places] == [one, other]
