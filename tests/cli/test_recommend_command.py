"""`compare --recommend`: the answer first, then how it was found; flags that do not go with it are refused."""

import dataclasses
import json
import shlex
from pathlib import Path

import pytest

from convarium import Workspace
from convarium.analysis.recommendation import Choice, Recommendation, Rung
from convarium.cli import main
from convarium.errors import RunError
from convarium.workspace import recommending

BEST = Choice(
    network="resnet",
    roles=("most accurate",),
    run="photos-resnet-s1-0a",
    accuracy=0.95,
    low=0.899,
    high=0.98,
    images=120,
    validation=0.94,
    seeds=2,
    parameters=272_474,
    images_per_second=900.0,
    command="x",
)
SMALL = dataclasses.replace(
    BEST,
    network="lenet",
    roles=("smallest", "fastest"),
    accuracy=0.9,
    low=0.8,
    high=0.95,
    parameters=61_706,
    images_per_second=9000.4,
    command="y",
)
FOUND = Recommendation(
    dataset="folder:photos",
    choices=(BEST, SMALL),
    rungs=(
        Rung(5, 1, {"lenet": 0.8, "resnet": 0.7, "vgg": 0.6, "nin": None}, ("lenet", "resnet"), 10.0),
        Rung(20, 2, {"resnet": 0.94, "lenet": 0.935}, ("resnet", "lenet"), 50.0),
    ),
    judged_on="test",
    family=2,
    margin=0.01,
    score="validation accuracy",
    stated="test accuracy",
    study="photos-recommendation-0c",
    budget=90.0,
    seconds=61.0,
    notes=("The test images chose nothing.",),
    report=Path("report.html"),
)


@pytest.fixture
def call(capsys, tmp_path, monkeypatch):
    """Runs `compare --recommend` without training: (exit code, standard output, standard error, the arguments)."""
    monkeypatch.chdir(tmp_path)
    asked = {}

    def recommend(workspace, models, **options):
        asked.update(options, models=models)
        return FOUND

    monkeypatch.setattr(Workspace, "recommend", recommend)

    def run(*argv):
        code = main(["compare", *argv])
        shown = capsys.readouterr()
        return code, shown.out, shown.err, asked

    return run


def test_the_answer_comes_first_with_the_command_that_exports_it(call):
    code, out, _, asked = call("--recommend", "--dataset", "folder:photos", "--epochs", "9")
    assert code == 0
    text = " ".join(out.split())
    assert text.startswith(
        "most accurate: resnet, test accuracy 95.0 % (95 % interval 89.9 to 98.0, 120 images), 272,474 parameters, "
        "900 images/s x smallest within 1 point of it and fastest: lenet, test accuracy 90.0 % (95 % interval 80.0 to "
        "95.0, 120 images), 61,706 parameters, 9,000 images/s y "
    )
    assert all(len(line) <= 80 for line in out.splitlines())
    for line in ("resnet 70.0 94.0", "lenet 80.0 93.5", "vgg 60.0 –", "nin failed –"):
        assert line in text
    assert "The test images chose nothing. It took 61 s of 90 s." in text
    assert (asked["budget"], asked["models"]) == ("10m", ())
    assert (asked["dataset"], asked["epochs"]) == ("folder:photos", 9)
    assert "learning_rate" not in asked  # what is not given is chosen for the images
    assert asked["command"] == "convarium compare --recommend --dataset folder:photos --epochs 9"


def test_the_command_of_a_call_from_python_asks_for_the_same(monkeypatch, tmp_path):
    commands, asked = [], {}
    monkeypatch.setattr(recommending, "planned_recipe", lambda model, preset, fields: fields)
    monkeypatch.setattr("convarium.studies.shortlist.usual_recipe", lambda resources, fields, device, on_event: fields)

    def stop(bases, resources, *, command, **options):
        commands.append(command)
        raise RunError("stopped")

    monkeypatch.setattr("convarium.studies.recommending.recommend_network", stop)
    fields = {"dataset": "folder:my photos", "skip_broken": True, "resize": None, "epochs": 9}
    with pytest.raises(RunError, match="stopped"):
        Workspace(tmp_path).recommend(["lenet"], budget="90s", seeds=2, **fields)
    assert commands == [
        'convarium compare lenet --recommend --budget 90s --seeds 2 --dataset "folder:my photos" --skip-broken '
        "--epochs 9"
    ]
    monkeypatch.setattr(Workspace, "recommend", lambda workspace, models, **options: asked.update(options) or FOUND)
    assert main(shlex.split(commands[0])[1:]) == 0
    assert {name: asked[name] for name in ("dataset", "skip_broken", "epochs", "budget", "seeds")} == {
        "dataset": "folder:my photos", "skip_broken": True, "epochs": 9, "budget": "90s", "seeds": 2
    }  # fmt: skip


def test_a_notebook_shows_the_networks_and_the_notes():
    lines = repr(FOUND).splitlines()
    assert [line.partition(":")[0] for line in lines[:2]] == [
        "most accurate",
        "smallest within 1 point of it and fastest",
    ]
    assert lines[2] == "The test images chose nothing."


def test_json_has_everything_that_was_found(call):
    _, out, _, asked = call("lenet", "resnet", "--recommend", "--budget", "1h", "--json", "--seeds", "2")
    found = json.loads(out)
    assert [choice["network"] for choice in found["choices"]] == ["resnet", "lenet"]
    assert found["choices"][0]["low"] == 0.899
    assert found["rungs"][0]["validation"]["nin"] is None
    assert found["report"] == "report.html"
    assert (asked["budget"], asked["models"], asked["seeds"]) == ("1h", ("lenet", "resnet"), 2)
    assert (asked["workers"], asked["minutes"]) == (None, None)
    call("--recommend", "--workers", "auto", "--minutes", "55")
    assert (asked["workers"], asked["minutes"]) == ("auto", 55.0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lenet", "--budget", "5m"], "--budget belongs to --recommend; add --recommend, or leave out --budget"),
        (["--recommend", "--stack"], "--recommend does not go with --stack; leave out --stack, or compare without"),
        (["--recommend", "--live"], "--recommend does not go with --live"),
        (["--recommend", "--preset", "d2l"], "--recommend does not go with --preset"),
        (["--recommend", "--baseline", "lenet"], "--recommend does not go with --baseline"),
        (["--recommend", "--start-from", "x"], "--recommend does not go with --start-from"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(call, words, message):
    code, out, err, asked = call(*words)
    assert (code, out, asked) == (2, "", {})
    assert message in err
