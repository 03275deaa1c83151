"""`convarium predict`: text, CSV and JSON, what stands where, and its exit codes."""

import csv
import io
import json

import pytest
from rich.console import Console

import convarium
from convarium.cli import main, predicting
from convarium.inference.unknown import UnknownRule
from made_animals import CLASSES, TEST_IMAGES, make_animals


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    make_animals(home, seeds=2)
    return home


@pytest.fixture(scope="module")
def names(home):
    """The names of the study's two runs."""
    store = convarium.Store(home)
    return [run.path.name for run in store.runs_of(store.study("animals"))]


@pytest.fixture
def call(home, names, monkeypatch, capsys):
    """Calls `convarium predict` with the first run in its store: exit code, standard output, standard error."""
    monkeypatch.chdir(home)

    def predict(*words, run=True):
        code = main(["predict", *(names[:1] if run else []), *map(str, words), "--device", "cpu"])
        return code, *capsys.readouterr()

    return predict


ANT, BEE = "photos/test/ant/000.png", "photos/test/bee/001.png"


def test_a_line_an_image_with_its_class_and_probability(home, names, call):
    answer = convarium.predict(names[0], [home / ANT, home / BEE], store=home)
    code, out, err = call(ANT, BEE)
    shares = [f"{100 * share:.2f} %" for share in answer.probabilities.max(axis=1)]
    assert (code, err) == (0, "")
    assert out == f"{ANT}: {answer.answers[0]} {shares[0]}\n{BEE}: {answer.answers[1]} {shares[1]}\n"
    assert set(answer.answers) <= set(CLASSES)


def test_with_top_the_likeliest_classes_follow(home, names, call):
    ranked = convarium.predict(names[0], home / ANT, store=home).top(2)[0]
    (first, p), (second, q) = ranked
    assert call(ANT, "--top", 2) == (0, f"{ANT}: {first} {100 * p:.2f} %, {second} {100 * q:.2f} %\n", "")
    code, out, err = call(ANT, "--top", 4)
    assert (code, out) == (2, "")
    assert "--top 4 is out of range: expected 1 to 3, for 3 classes; use --top 3" in err


def test_csv_has_every_class_or_the_likeliest(home, names, call):
    answer = convarium.predict(names[0], [home / ANT], store=home)
    code, out, err = call(ANT, "--csv")
    assert (code, err) == (0, "")
    rows = list(csv.reader(io.StringIO(out)))
    assert rows[0] == ["image", "class", "probability", *(f"probability of {name}" for name in CLASSES)]
    assert [float(cell) for cell in rows[1][3:]] == answer.probabilities[0].tolist()
    assert rows[1][:2] == [ANT, answer.answers[0]]
    rows = list(csv.reader(io.StringIO(call(ANT, "--csv", "--top", 2)[1])))
    assert rows[0] == ["image", "class", "probability", "class 2", "probability 2"]
    assert rows[1][3] == answer.top(2)[0][1][0]


def test_json_is_one_document_in_ascii(home, names, call, tmp_path):
    odd = tmp_path / "é\x1b[31m.png"
    odd.write_bytes((home / ANT).read_bytes())
    answer = convarium.predict(names[0], [home / ANT, odd], store=home)
    code, out, err = call(ANT, odd, "--json")
    assert (code, err) == (0, "")
    assert out.isascii()
    assert "\x1b" not in out
    found = json.loads(out)
    assert found["classes"] == list(CLASSES)
    assert found["runs"] == names[:1]
    assert found["unknown"] is None
    assert found["unreadable"] == []
    assert [row["image"] for row in found["predictions"]] == [ANT, str(odd)]
    for row, probabilities, name in zip(found["predictions"], answer.probabilities, answer.answers, strict=True):
        assert row["class"] == name
        assert row["probability"] == probabilities.max()
        assert [row["probabilities"][name] for name in CLASSES] == probabilities.tolist()
    row = json.loads(call(ANT, "--json", "--top", 1)[1])["predictions"][0]
    assert row["probabilities"] == {row["class"]: row["probability"]}


def test_a_folder_and_many_images(home, call, monkeypatch):
    monkeypatch.setattr("convarium.inference.predict.EVALUATION_BATCH", 50)
    code, out, err = call("photos/test", "--json")
    assert (code, err) == (0, "")
    assert len(json.loads(out)["predictions"]) == TEST_IMAGES
    lines = call("photos/test")[1].splitlines()
    assert len(lines) == TEST_IMAGES
    assert [line.partition(":")[0] for line in lines] == sorted(line.partition(":")[0] for line in lines)
    assert call("photos/test", "--csv")[1].count("\n") == TEST_IMAGES + 1


def test_unreadable_images_are_named_and_the_exit_code_is_1(home, call, tmp_path):
    (tmp_path / "no\x1b.png").write_text("text")
    code, out, err = call(tmp_path / "gone.png", ANT, tmp_path / "no\x1b.png")
    assert code == 1
    assert len(out.splitlines()) == 1
    assert out.startswith(f"{ANT}: ")
    assert f"cannot read {tmp_path / 'gone.png'}: no such file or directory" in err
    assert "no\\x1b.png: it is no image" in err
    assert "\x1b" not in err
    assert "2 of 3 images could not be read; the notes above say why" in err
    code, out, err = call(tmp_path / "gone.png", "--json")
    assert code == 1
    assert json.loads(out)["unreadable"] == [
        {"image": str(tmp_path / "gone.png"), "reason": "no such file or directory"}
    ]
    assert json.loads(out)["predictions"] == []
    assert call(tmp_path / "gone.png")[1] == ""


def test_what_a_folder_passes_over_is_said(call, tmp_path, home):
    (tmp_path / "a.png").write_bytes((home / ANT).read_bytes())
    (tmp_path / "a.pdf").touch()
    code, out, err = call(tmp_path)
    assert (code, err) == (0, f"files passed over: 1 PDF in {tmp_path}\n")
    assert out.startswith(f"{tmp_path / 'a.png'}: ")


@pytest.mark.parametrize("form", ["paths", "image"])
def test_standard_input(home, call, monkeypatch, form):
    content = f"{ANT}\nphotos/test/bee\n".encode() if form == "paths" else (home / ANT).read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    found = [row["image"] for row in json.loads(call("-", "--json")[1])["predictions"]]
    assert found[:2] == ([ANT, "photos/test/bee/000.png"] if form == "paths" else ["-"])


def test_an_ensemble_says_which_runs_answer(home, names, call):
    code, out, err = call(ANT, "--ensemble", "animals:lenet", run=False)
    assert code == 0
    assert err == "answered by the mean of 2 runs of animals:lenet (seeds 0, 1)\n"
    assert out.startswith(f"{ANT}: ")
    found = json.loads(call(ANT, "--ensemble", "animals:lenet", "--json", run=False)[1])
    assert found["runs"] == names
    assert found["answered_by"] == "the mean of 2 runs of animals:lenet (seeds 0, 1)"


def test_unknown_states_its_threshold_its_coverage_and_what_it_does_not_promise(call):
    code, out, err = call("photos/test", "--unknown", "--coverage", 0.9)
    assert code == 0
    # k = ⌊181 · 0.1⌋ = 18: the 17 test images below that of rank 18 are not answered.
    assert sum(": unknown (" in line for line in out.splitlines()) == 17
    assert "so that 90 % of the images of the known classes are answered" in err
    assert "180 test images" in err
    assert "it does not promise to catch images of other classes" in err
    found = json.loads(call("photos/test", "--unknown", "--coverage", 0.9, "--json")[1])
    assert sum(row["class"] == "unknown" and not row["known"] for row in found["predictions"]) == 17
    assert found["unknown"]["n"] == TEST_IMAGES
    assert found["unknown"]["measured_coverage"] >= 0.88
    rows = list(csv.DictReader(io.StringIO(call("photos/test", "--unknown", "--coverage", 0.9, "--csv")[1])))
    assert [row["known"] for row in rows].count("false") == 17
    assert rows[0]["class"] in (*CLASSES, "unknown")


def test_a_file_of_weights_answers_as_its_run(home, names, call):
    file = home / "runs" / names[0] / "weights.safetensors"
    code, out, err = call(ANT, BEE, "--weights", file, run=False)
    assert (code, out) == call(ANT, BEE)[:2]
    assert err == f"answered by the weights in {file}\n"


def test_a_bar_on_standard_error_leaves_the_answers_where_they_belong(call, monkeypatch):
    shown = io.StringIO()
    terminal = Console(file=shown, force_terminal=True, width=80)
    monkeypatch.setattr("convarium.cli.progress.console_on", lambda _: terminal)
    monkeypatch.setattr("convarium.cli.progress.can_redraw", lambda _: True)
    monkeypatch.setattr("convarium.cli.predicting._MANY", 10)
    code, out, _ = call("photos/test")
    assert code == 0
    assert len(out.splitlines()) == TEST_IMAGES
    assert f"{TEST_IMAGES}/{TEST_IMAGES}" in shown.getvalue()


def test_unknown_says_what_validation_images_may_have_chosen():
    rule = UnknownRule(0.5, 0.95, 200, 0.95, 0.9, 0.99, "validation images")
    assert "set by 200 validation images" in predicting._explained(rule)
    assert predicting._explained(rule).endswith("have chosen a learning rate or the network")


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ([], "predict needs a run and images; try: convarium predict RUN photo.png"),
        (["somerun"], "predict needs a run and images"),
        (["--ensemble", "animals"], "predict needs images"),
        (["somerun", ANT], "no finished run 'somerun'"),
        (["--ensemble", "plants:lenet", ANT], "no study 'plants'"),
        (["--csv", "--json", "somerun", ANT], "choose one of --csv and --json"),
        (["somerun", ANT, "--coverage", "0.9"], "--coverage is for --unknown; give both"),
        (["somerun", ANT, "--coverage", "1", "--unknown"], "coverage=1 is out of range: expected 0.5 to 0.999"),
        (["somerun", ANT, "--top", "0"], "--top: 0 is not in the range"),
    ],
)
def test_a_wrong_call_is_one_sentence(call, words, wrong):
    code, out, err = call(*words, run=False)
    assert (code, out) == (2, "")
    assert wrong in err
    assert len(err.splitlines()) == 1


def test_a_folder_without_images_is_one_sentence(call, tmp_path):
    code, out, err = call(tmp_path)
    assert (code, out) == (2, "")
    assert "no images in the folder" in err
