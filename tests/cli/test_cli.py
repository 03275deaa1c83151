"""The command line: what it prints, its exit codes, and how every wrong call ends in one sentence with a way out."""

import dataclasses
import errno
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import click
import pytest
from test_next_steps import steps_of

from convarium import __main__ as entry
from convarium.benchmark.speed_page import MARKER
from convarium.cli import COMMANDS, convarium, main
from convarium.runs.archive import add_records
from convarium.runs.store import Store
from convarium.studies.catalogue import Finding, catalogue

QUICK = ["--epochs", "1", "--batch-size", "128", "--device", "cpu"]


@pytest.fixture
def call(capsys, tmp_path, monkeypatch):
    """Runs one command in an empty folder: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(*argv):
        code = main([str(word) for word in argv])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def test_help_fits_one_screen_and_names_every_command(call):
    code, out, err = call("--help")
    assert code == 0
    assert err == ""
    assert len(out.splitlines()) <= 24
    assert all(name in out for name in COMMANDS)
    assert call()[1] == out


def test_the_version_is_that_of_the_package(call):
    assert call("--version") == (0, f"convarium {metadata.version('convarium')}\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_takes_json(call, command):
    code, out, _ = call(command, "--help")
    assert code == 0
    assert "--json" in out
    assert "None" not in out
    assert max(map(len, out.splitlines())) <= 80
    assert call(command, "-h")[1] == out
    summary = COMMANDS[command].summary
    assert summary in out
    assert summary in call("--help")[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_written_in_sentences(command):
    for option in convarium.get_command(click.Context(convarium), command).params:
        if isinstance(option, click.Option):
            assert option.help[0].isupper(), option.name
            assert option.help.endswith("."), option.name


# The counts of the sources, see tests/test_models.py.
COUNTS = [
    ("memory_mlp", 1_237_162),
    ("residual_mlp", 1_238_730),
    ("residual_cnn", 41_514),
    ("lenet", 61_706),
    ("lenet@d2l", 61_706),
]


@pytest.mark.parametrize(("model", "parameters"), COUNTS)
def test_describe_json_has_the_documented_form_and_the_exact_counts(call, model, parameters):
    code, out, _ = call("describe", model, "--json")
    described = json.loads(out)
    assert code == 0
    assert list(described) == ["model", "parameters", "flops", "layers"]
    assert described["parameters"] == parameters == sum(layer["parameters"] for layer in described["layers"])
    assert described["flops"] == sum(layer["flops"] for layer in described["layers"])
    assert set(described["layers"][0]) == {"name", "type", "output_shape", "parameters", "flops"}


def test_describe_for_people_and_diff(call):
    code, out, _ = call("describe", "lenet@d2l")
    assert code == 0
    assert "61,706" in out
    code, out, _ = call("describe", "--diff", "resnet@uva", "resnet(depth=20, shortcut='B')")
    assert code == 0
    assert "272,378" in out
    code, out, _ = call("describe", "--diff", "lenet", "lenet(pool='avg')", "--json")
    assert code == 0
    assert json.loads(out)
    code, _, err = call("describe")
    assert code == 2
    assert "takes a MODEL, or --diff A B" in err


def test_describe_follows_its_own_advice_on_the_size_of_images(call):
    code, _, err = call("describe", "nin@d2l", "--dataset", "mnist")
    assert code == 2
    assert err.rstrip().endswith("use --resize 67")
    code, out, _ = call("describe", "nin@d2l", "--dataset", "mnist", "--resize", "67")
    assert code == 0
    assert "nin@d2l on 1×67×67 images" in out
    code, _, err = call("describe", "nin@d2l", "--resize", "0")
    assert code == 2
    assert "resize=0 is out of range: expected 1 to 1024 pixels" in err


@pytest.mark.parametrize("what", ["models", "presets", "datasets", "activations", "recipes"])
def test_list(call, what):
    code, out, _ = call("list", what, "--json")
    assert code == 0
    rows = json.loads(out)
    code, out, _ = call("list", what)
    assert code == 0
    assert all(str(next(iter(row.values())))[:12] in out for row in rows)


def test_list_studies_counts_the_finished_runs_of_the_store(call, tmp_path):
    assert call("list", "studies")[:2] == (0, ". holds no study; make one with convarium compare\n")
    assert json.loads(call("list", "studies", "--json")[1]) == []
    assert call("compare", "memory_mlp", "--name", "one", "--seeds", "2", *QUICK)[0] == 0
    next(tmp_path.glob("runs/*/outcome.json")).unlink()
    rows = json.loads(call("list", "studies", "--json")[1])
    question = "How accurate is memory_mlp on digits?"
    assert rows == [{"study": "one", "finished": 1, "planned": 2, "question": question}]
    assert question in call("list", "studies", "--store", tmp_path)[1]


def test_train_prints_its_score_and_a_second_call_trains_nothing(call):
    code, out, err = call("train", "lenet", *QUICK)
    assert code == 0
    assert "test accuracy" in out
    assert re.search(r"^lenet seed 0  epoch 1/1  loss \d\.\d\d  validation \d+\.\d %  test \d+\.\d %$", err, re.M)
    assert "nothing was trained" not in err
    code, out, err = call("train", "lenet", *QUICK, "--json")
    facts = json.loads(out)
    assert code == 0
    assert f"nothing was trained: the store has this run already ({Path(facts['run']).name})" in err
    assert facts["status"] == "finished"
    names = {"accuracy", "balanced_accuracy", "macro_f1", "loss", "per_class", "n", "at_chance"}
    assert set(facts["scores"]["test"]) == names
    assert facts["scores"]["test"]["n"] == 360
    assert len(facts["history"]) == 1
    code, out, _ = call("evaluate", facts["key"][:8], "--json")
    assert code == 0
    name = Path(facts["run"]).name
    own = {"notes": [f"the images are preprocessed as in the training of {name}"]}
    assert json.loads(out) == facts["scores"]["test"] | own
    code, out, _ = call("evaluate", facts["run"], "--split", "validation", "--json")
    assert json.loads(out)["accuracy"] == facts["scores"]["validation"]["accuracy"]
    code, out, _ = call("evaluate", facts["run"], "--split", "train", "--json")
    assert json.loads(out) == facts["scores"]["train"] | own
    code, out, _ = call("evaluate", facts["run"], "--dataset", "digits", "--json")
    rule = "its size, mean, deviation and order of classes"
    assert json.loads(out) == facts["scores"]["test"] | {"notes": [f"{own['notes'][0]}: {rule}"]}
    weights = Path(facts["run"]) / "weights.safetensors"
    for model in ([], ["--model", "lenet"]):  # which the weights' metadata name
        code, out, _ = call("evaluate", "--weights", weights, *model, "--dataset", "digits", "--json")
        expected = facts["scores"]["test"]
        assert json.loads(out) == expected | {"notes": [f"{own['notes'][0]}/weights.safetensors: {rule}"]}
    code, out, _ = call("evaluate", facts["key"][:8])
    assert "class" in out
    assert f"note: {own['notes'][0]}" in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80


def test_train_prints_the_history_of_a_run_that_only_the_records_have(call, tmp_path):
    facts = json.loads(call("train", "lenet", *QUICK, "--json")[1])
    records = tmp_path / "records"
    add_records(records / "runs.jsonl", [Store(tmp_path).run(facts["key"])])
    code, out, err = call("train", "lenet", *QUICK, "--store", records, "--json")
    assert code == 0, err
    recorded = json.loads(out)
    assert recorded["key"] == facts["key"]
    assert recorded["history"] == facts["history"]
    assert not (records / "runs").exists()


def test_a_diverged_run_is_a_result(call):
    code, out, _ = call("train", "lenet", *QUICK, "--learning-rate", "1e9")
    assert code == 0
    assert "diverged: the training loss was not finite in epoch 1" in out


def test_a_failed_run_is_reported_and_ends_with_1(call, tmp_path, monkeypatch):
    (tmp_path / "cut_off.py").write_text(
        """
from torch import nn

class CutOff(nn.Linear):
    def forward(self, x):
        return super().forward(x.flatten(1)).detach()

def net(spec, activation):
    return CutOff(784, spec.classes)

class Raises(CutOff):
    def forward(self, x):
        if len(x) == 128:
            raise ValueError("not in training")
        return super().forward(x)

def raises(spec, activation):
    return Raises(784, spec.classes)
"""
    )
    code, out, err = call("train", "cut_off:net", *QUICK, "--json")
    assert code == 1
    assert json.loads(out)["status"] == "failed"
    assert "does not require grad" in err
    assert "the run failed; mend" in err
    code, out, err = call("compare", "lenet", "cut_off:raises", "--seeds", "1", *QUICK, "--json")
    assert code == 1
    assert "not in training" in err
    assert [row["failed"] for row in json.loads(out)["rows"]][1] == 1
    assert "1 of 2 runs failed" in err


def test_a_network_that_cannot_be_traced_leaves_json_alone(call, tmp_path):
    (tmp_path / "untraceable.py").write_text(
        """
from torch import nn

class Doubled(nn.Linear):
    def forward(self, x):
        return super().forward(x.flatten(1).double())

def net(spec, activation):
    return Doubled(784, spec.classes).double()

class Refuses(nn.Linear):
    def forward(self, x):
        if len(x) == 2:
            raise ValueError("no batch of two, which TensorBoard's graph is traced with")
        return super().forward(x.flatten(1))

def refuses(spec, activation):
    return Refuses(784, spec.classes)
"""
    )
    for factory in ("net", "refuses"):
        code, out, err = call("train", f"untraceable:{factory}", *QUICK, "--json")
        assert code == 0, err
        assert json.loads(out)["status"] == "finished"


def test_a_network_given_twice_is_compared_once(call):
    code, out, _ = call("compare", "lenet", "lenet()", "--seeds", "1", *QUICK, "--json")
    assert code == 0
    assert [row["label"] for row in json.loads(out)["rows"]] == ["lenet"]


def test_compare_results_and_report(call, tmp_path):
    code, out, err = call("compare", "lenet", "lenet(pool='avg')", "--seeds", "2", "--name", "pools", *QUICK)
    assert code == 0, err
    assert re.search(
        r"^4 runs; about \d+ s to go; .*kernels.*\. Two seeds decide nothing; three would",
        err,
        re.M,
    )
    for number, (seed, pool) in enumerate(itertools.product(range(2), ["", "(pool='avg')"]), start=1):
        end = rf"^lenet{re.escape(pool)} seed {seed}  epoch 1/1  loss .*  test .* %  run {number}/4"
        assert re.search(end + (r"  about \d+ s left$" if number < 4 else "$"), err, re.M)
    answer, rest = out.split("\n\n", 1)
    assert re.match(r"lenet\S* leads with \d+\.\d %, but two seeds cannot separate it from lenet", answer)
    assert rest.lstrip().startswith("network")
    steps = steps_of(out)
    assert list(steps)[-2:] == ["more seeds", "look inside"]
    page = tmp_path / "studies" / "pools" / "report.html"
    assert "lenet(pool=" in page.read_text("utf-8")
    for flag, sign in (("--csv", ","), ("--markdown", "| "), ("--latex", "&")):
        code, out, _ = call("results", "pools", flag)
        assert code == 0
        assert sign in out
    renamed = ["--label", "lenet(pool='avg')=A=B", "--columns", "network,verdict"]
    code, out, _ = call("results", "pools", "--markdown", *renamed)
    assert code == 0
    assert "| A=B | undecided |" in out
    for wrong in ("lenet", "lenet= "):
        assert "cannot read --label: expected NAME=TEXT" in call("results", "pools", "--csv", "--label", wrong)[2]
    found = json.loads(call("results", "pools", "--json")[1])
    assert [row["label"] for row in found["rows"]] == ["lenet", "lenet(pool='avg')"]
    assert "lenet" in call("results", "pools")[1]
    assert steps_of(call("results", "pools")[1]) == steps
    code, out, _ = call("report", "pools", "--out", tmp_path / "page.html")
    assert code == 0
    assert (tmp_path / "page.html").exists()
    one = ("report", "pools", "--figures", tmp_path / "figures", "--width", "84mm", "--json")
    code, out, _ = call(*one, "--panel", "cost-parameters")
    assert code == 0
    assert [Path(path).name for path in json.loads(out)["figures"]] == [
        f"cost-parameters.{ending}" for ending in ("svg", "pdf", "png")
    ]
    code, _, err = call(*one, "--panel", "curve")
    assert code == 2
    assert "curves" in err
    assert "cost-parameters" in err
    code, _, err = call("report", "pools", "--width", "84mm")
    assert code == 2
    assert "name a folder with --figures" in err
    code, out, _ = call(*steps["more seeds"][1:], "--json")
    assert code == 0
    assert json.loads(out)["study"] == "pools"
    assert [len(row["runs"]) for row in json.loads(out)["rows"]] == [4, 4]
    code, _, err = call("compare", "lenet", "lenet(pool='avg')", "--name", "pools", *QUICK, "--epochs", "2")
    assert code == 2
    assert "epochs was 1 and is now 2" in err


def test_flags_beside_a_preset_win_even_where_they_repeat_a_default(call):
    quick = ["train", "memory_mlp", "--preset", "memory-blog", "--dataset", "digits", "--epochs", "1", "--json"]
    code, _, err = call(*quick)
    assert code == 0, err
    recipe = json.loads((next(iter(_runs())) / "recipe.json").read_text())
    assert (recipe["optimizer"], recipe["learning_rate"], recipe["epochs"]) == ("adam", 3e-4, 1)
    code, _, err = call(*quick, "--normalize", "dataset", "--optimizer", "sgd")
    assert code == 0, err
    recipe = json.loads((max(_runs(), key=os.path.getmtime) / "recipe.json").read_text())
    assert (recipe["optimizer"], recipe["normalize"], recipe["validation"]) == ("sgd", "dataset", 0)


def _runs():
    return [path for path in Path("runs").iterdir() if path.is_dir()]


WRONG = [
    (["compre", "lenet"], "compre"),
    (["compare"], "at least one network"),
    (["compare", "lenett"], "did you mean 'lenet'"),
    (["compare", "lenet", "--dataset", "mnst"], "did you mean 'mnist'"),
    (["compare", "lenet", "--dataset", "MNIST"], "unknown data set 'MNIST'; did you mean 'mnist'"),
    (["train", "lenet", "--dataset", "./photos"], "'./photos'; did you mean 'folder:./photos', your own images?"),
    (["trian", "lenet"], "unknown command 'trian'; did you mean 'train'"),
    (["compare", "lenet", "--seeds", "0"], "seeds is out of range: expected 1 to 10,000, received 0"),
    (["compare", "lenet", "--seeds", "1000000000"], "seeds is out of range: expected 1 to 10,000"),
    (["compare", "lenet", "--seed", "3"], "unknown option --seed; did you mean --seeds? see convarium compare --help"),
    (["compare", "lenet", "--name", ""], "'' cannot name a study"),
    (["compare", "lenet", "residual_cnn", "--batch-size", "2000"], "exceeds the 1257 training images"),
    (["compare", "lenet", "--seeds", "x"], "--seeds: 'x' is not a valid integer; see convarium compare --help"),
    (
        ["compare", "lenet", "--sedes", "3"],
        "unknown option --sedes; did you mean --seeds? see convarium comp",
    ),
    (["train", "lenet", "--quux"], "unknown option --quux; see convarium train --help"),
    (["train", "lenet", "--sedes", "3"], "unknown option --sedes; did you mean --seed? see convarium train --help"),
    (["train", "lenet", "--drop"], "unknown option --drop; did you mean --drop-last?"),
    (["train", "lenet", "--dataset", "folder:"], "'folder:' names nothing; write folder:PATH, csv:FILE or npz:FILE"),
    (["compare", "lenet", "--optimizer", "sdg"], "unknown optimizer 'sdg'; did you mean 'sgd'?"),
    (
        ["compare", "lenet", "--name", "n" * 300],
        "expected a name that Linux, macOS and Windows accept, of at most 200 bytes",
    ),
    (["compare", "lenet", "--preset", "uvaa"], "did you mean 'uva'"),
    (["compare", "lenet", "--baseline", "vgg"], "baseline 'vgg' is not compared"),
    (["compare", "lenet(pool='mx')"], "'max' or 'avg'"),
    (["compare", "lenet(activation='rulu')"], "did you mean 'relu'"),
    (["train", "lenet", "--batch-size", "2000"], "exceeds the 1257 training images"),
    (["train", "lenet@d2"], "did you mean 'lenet@d2l'"),
    (["train", "lenet", "--epochs", "0"], "epochs is out of range"),
    (["train", "alexnet@d2l"], "--resize"),
    (["train", "lenet", "--device", "tpu0"], "device"),
    (["train", "lenet", "--device", "meta"], "Convarium does not train on 'meta'; use cpu"),
    (["train", "lenet", "--preset", ""], "unknown recipe preset ''"),
    (
        ["train", "lenet", "--normalize", "mean=(0, 0, 0), std=(1, 1, 1)"],
        "has 3 channels: expected one for all; or use",
    ),
    (
        ["train", "lenet", "--resize", "abc"],
        "--resize: 'abc' is not a valid integer, nor none; see convarium train",
    ),
    (["bench", "lenet@d2l", "--seconds", "nan"], "seconds > 0"),
    (["train", "nowhere.net:make"], "nowhere"),
    (["train"], "convarium train needs MODEL; see convarium train --help"),
    (["describe", "lenet(poool='max')"], "did you mean 'pool'"),
    (["results", "none"], "make one with convarium compare"),
    (["results", "none", "--csv", "--latex"], "choose one of"),
    (["results", "none", "--columns", "network"], "--columns is for documents; add --latex, --markdown or --csv"),
    (["results", "none", "--label", "a=b"], "--label is for documents"),
    (["report", "none"], "no study 'none'"),
    (["evaluate", "none"], "no finished run"),
    (["evaluate"], "evaluate takes either run, or weights with model and dataset"),
    (["evaluate", "--weights", "w.pt"], "evaluate needs model and dataset beside weights"),
    (["evaluate", "--weights", "w.pt", "--model", "lenet", "--dataset", "digits"], "w.pt"),
    (["data", "check", "mnst"], "did you mean 'mnist'"),
    (["data", "fetsch"], "unknown action 'fetsch'; did you mean 'fetch'?"),
    (["list", "modles"], "unknown kind of list 'modles'; did you mean 'models'"),
    (["train", "lenet", "digits"], "got unexpected extra argument (digits); see convarium train --help"),
    (["train", "lenet", "--epochs"], "option '--epochs' requires an argument; see convarium train --help"),
    (["describe", "--diff", "lenet"], "option '--diff' requires 2 arguments; see convarium describe --help"),
    (["--verson"], "unknown option --verson; did you mean --version? see convarium --help"),
]


@pytest.mark.parametrize(("argv", "message"), WRONG, ids=[" ".join(argv) for argv, _ in WRONG])
def test_a_wrong_call_ends_in_one_sentence_with_exit_code_2_and_writes_nothing(call, tmp_path, argv, message):
    code, out, err = call(*argv)
    assert code == 2
    assert out == ""
    assert message in err
    *signs_of_life, sentence = err.splitlines()
    assert all(re.fullmatch("(reading|preparing|timing) .* …", line) for line in signs_of_life)
    assert sentence.startswith("convarium: ")
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "argv",
    [
        ["compare", "lenet", "memory_mlp", "--seeds", "0"],
        ["compare", "lenet", "memory_mlp", "--baseline", "vgg"],
        ["compare", "lenet", "--minutes", "-1"],
        ["compare", "lenet", "--name", "a/b"],
        ["compare", "lenet", "--recommend", "--seeds", "0"],
        ["compare", "--recommend", "--budget", "soon"],
        ["train", "lenet", "--minutes", "0"],
        ["run", "activations", "--seeds", "0"],
        ["run", "activationz"],
        ["reproduce", "lenet-d2l", "--minutes", "0"],
    ],
    ids=" ".join,
)
def test_a_wrong_number_or_name_is_told_before_anything_is_read(call, argv):
    code, out, err = call(*argv)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("convarium: ")


def test_json_of_every_listing_command_is_one_value(call):
    assert json.loads(call("data", "list", "digits", "--json")[1])
    assert json.loads(call("data", "check", "digits", "--json")[1])


def test_a_store_that_cannot_be_written_is_a_failure_in_one_sentence(call, tmp_path):
    (tmp_path / "file").write_text("no folder")
    code, out, err = call("train", "lenet", *QUICK, "--store", tmp_path / "file")
    assert code == 1
    assert out == ""
    sign_of_life, sentence = err.splitlines()
    assert sign_of_life == "reading digits …"
    assert sentence.startswith("convarium: Not a directory: ")
    assert sentence.endswith("file/runs; it needs a folder: check the path")


def test_a_full_disk_is_a_failure_in_one_sentence(call, monkeypatch):
    def write(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("convarium.workspace.Workspace.train", write)
    code, out, err = call("train", "lenet", *QUICK)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == (
        "convarium: No space left on device; free some of it, or choose another place to write to"
    )


@pytest.mark.parametrize("words", [["lenet@d2l", "--record"], ["--page"]], ids=" ".join)
def test_an_installed_package_keeps_its_records_of_speed(call, tmp_path, monkeypatch, words):
    monkeypatch.setattr("convarium.studies.reproductions.results_folder", lambda: tmp_path / "convarium" / "results")
    code, out, err = call("bench", *words)
    assert (code, out) == (2, "")
    assert "belongs to an installed package" in err
    assert list(tmp_path.iterdir()) == []


def test_bench_writes_the_page_of_the_checkout_from_any_folder(call, tmp_path, monkeypatch):
    checkout = tmp_path / "checkout"
    (checkout / "results" / "speed").mkdir(parents=True)
    (checkout / "pyproject.toml").write_text("")
    (checkout / "docs").mkdir()
    page = checkout / "docs" / "speed.md"
    page.write_text(f"# Speed\n\n{MARKER}\nold tables\n", encoding="utf-8")
    monkeypatch.setattr("convarium.studies.reproductions.results_folder", lambda: checkout / "results")
    assert call("bench", "--page") == (0, f"{page}\n", "")
    assert "old tables" not in page.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [checkout]


def test_the_cells_of_the_catalogue_are_escaped_in_markdown(call, monkeypatch):
    entry = next(iter(catalogue().values()))
    finding = Finding(dataclasses.replace(entry, name="a|b_c"), None, (), planned=5, seconds=0.0)
    monkeypatch.setattr("convarium.workspace.Workspace.reproduce", lambda _: (finding,))
    code, out, _ = call("reproduce", "--markdown")
    assert code == 0
    assert out.splitlines()[-1].startswith("| a\\|b\\_c |")


def test_ctrl_c_ends_cleanly_and_the_same_command_goes_on(tmp_path):
    argv = [
        sys.executable,
        "-m",
        "convarium",
        "compare",
        "lenet",
        "residual_cnn",
        "--seeds",
        "40",
        "--epochs",
        "2",
        "--store",
        tmp_path,
    ]
    going = subprocess.Popen(
        list(map(str, argv)),
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job is started with Ctrl-C ignored, and so would be all that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("runs/*/outcome.json")):
            assert time.monotonic() < deadline, "no run finished within two minutes"
            time.sleep(0.05)
        going.send_signal(signal.SIGINT)
        _, err = going.communicate(timeout=60)
    finally:
        going.kill()
        going.wait()
    assert going.returncode == 130
    assert "finished runs are in the store" in err
    assert "Traceback" not in err
    assert len(list(tmp_path.glob("runs/*/outcome.json"))) >= 1


def test_ctrl_c_while_modules_are_loading_is_handled(monkeypatch, capsys):
    class Loading:
        def __getattr__(self, name):
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "convarium.cli", Loading())
    assert entry.main() == 130
    assert capsys.readouterr().err == "convarium: stopped before anything began\n"


def test_ctrl_c_at_the_end_of_the_process_ends_it_without_a_traceback():
    """A second Ctrl-C often comes while libraries clean up, and interrupted them with a traceback."""
    code = (
        "import atexit, os, signal, sys, time\n"
        "def clean_up():\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(60)\n"
        "atexit.register(clean_up)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.argv = ['convarium', '--version']\n"
        "from convarium.__main__ import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_torch_is_imported_when_something_is_built_and_not_before():
    """Else Ctrl-C would meet seconds of imports before anything listens."""
    code = (
        "import sys, convarium, convarium.__main__\n"
        "convarium.Recipe; convarium.Workspace()\n"
        "print('torch' in sys.modules); convarium.fit; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("words", ["list presets", "describe lenet", "list presets --json", "trian", "compare --help"])
def test_output_fits_any_encoding(words):
    command = [sys.executable, "-m", "convarium", *words.split()]
    environ = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert done.returncode == (2 if words == "trian" else 0)
    assert "Error" not in done.stderr
    if "--json" in words:
        plain = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
        assert json.loads(done.stdout) == json.loads(plain.stdout)


def test_a_reader_that_goes_away_is_no_failure():
    line = f"{sys.executable} -m convarium list presets | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_training_whose_notes_nobody_reads_has_not_succeeded(tmp_path):
    """It ends there, as any program in a pipe; a script that goes on then must not take it for finished."""
    line = f"{sys.executable} -m convarium train lenet --store {tmp_path} 2>&1 | true; exit ${{PIPESTATUS[0]}}"
    assert subprocess.run(["bash", "-c", line], capture_output=True, check=False).returncode == 141
    assert not list(tmp_path.glob("runs/*/outcome.json"))
