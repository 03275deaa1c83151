"""Timings in turns as records: written, read, replaced by newer ones of the same machine, and refused if damaged."""

import dataclasses

import pytest

from convarium.errors import StoreError
from convarium.recipes.recipe import Recipe
from convarium.runs.timings import TimedNetwork, TimedTurn, Timing, read_timings, write_timing
from made_runs import HERE

TURNS = (TimedTurn(128, 2.0, 1.5), TimedTurn(256, 3.0, 2.5))
TIMING = Timing("made", HERE, (TimedNetwork(Recipe(), TURNS), TimedNetwork(Recipe(model="vgg"), TURNS)))


def test_a_timing_is_read_as_it_was_written(tmp_path):
    assert read_timings([tmp_path], "made") == ()
    path = write_timing(tmp_path, TIMING)
    assert path.parent == tmp_path / "speed" / "pairs"
    assert read_timings([tmp_path / "none", tmp_path], "made") == (TIMING,)
    assert TIMING.turns(Recipe(seed=7)) == TURNS
    assert TIMING.turns(Recipe(batch_size=7)) == ()
    assert [turn.images_per_second for turn in TURNS] == [64.0, pytest.approx(85.33, abs=0.01)]


def test_of_one_machine_the_newest_counts_and_of_several_each(tmp_path):
    dates = [dataclasses.replace(HERE, started=f"2026-01-0{day}", torch=f"2.{day}") for day in (2, 1)]
    elsewhere = dataclasses.replace(HERE, started="2026-01-03", processor_model="family 26")
    other, here = tmp_path / "other", tmp_path / "here"
    for root, environment in ((other, dates[0]), (here, dates[1]), (here, elsewhere)):
        write_timing(root, dataclasses.replace(TIMING, environment=environment))
    write_timing(here, dataclasses.replace(TIMING, study="made-quick"))
    assert [timing.environment for timing in read_timings([here, other], "made")] == [elsewhere, dates[0]]
    write_timing(here, dataclasses.replace(TIMING, environment=dataclasses.replace(dates[1], started="2026-01-09")))
    assert len(list((here / "speed" / "pairs").iterdir())) == 3


@pytest.mark.parametrize("change", [("128", "129"), ('"digest"', '"digits"'), ("}", "")])
def test_a_changed_timing_is_refused(change, tmp_path):
    path = write_timing(tmp_path, TIMING)
    path.write_text(path.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    complaint = "is damaged, or was changed by hand; delete it; the networks can be timed again"
    with pytest.raises(StoreError, match=complaint):
        read_timings([tmp_path], "made")


def test_turns_must_be_pairs_with_images_and_times(tmp_path):
    for networks in ((), (*TIMING.networks, TimedNetwork(Recipe(model="nin"), TURNS[:1]))):
        write_timing(tmp_path, dataclasses.replace(TIMING, networks=networks))
        with pytest.raises(StoreError, match="is damaged"):
            read_timings([tmp_path], "made")
    idle = TimedNetwork(Recipe(), (TimedTurn(0, 1.0, 1.0),))
    write_timing(tmp_path, dataclasses.replace(TIMING, networks=(idle,)))
    with pytest.raises(StoreError, match="is damaged"):
        read_timings([tmp_path], "made")
