"""Where a command is called: closed streams, no home, no working folder, paths that the system does not take."""

import errno
import os
import subprocess
import sys

import pytest

from convarium import Workspace
from convarium.cli import main
from convarium.disk import usable_path
from convarium.errors import ConvariumError

COMMAND = [sys.executable, "-m", "convarium"]
HOMELESS = """
import pwd, sys
def getpwuid(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = getpwuid
from convarium.__main__ import main
sys.exit(main())
"""


def call(command, *, shell_end="", cwd=None, **variables):
    """Exit code, standard output and standard error of a command line that a shell runs."""
    environ = {name: value for name, value in (os.environ | variables).items() if value is not None}
    line = ["sh", "-c", f'exec "$@" {shell_end}', "sh", *command]
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=cwd, env=environ)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_streams_may_be_closed(closed):
    for words, code in ((["list", "datasets", "--json"], 0), (["describe", "lenett"], 2)):
        assert call([*COMMAND, *words], shell_end=closed)[0] == code


def test_a_file_that_is_opened_does_not_take_the_place_of_a_closed_stream(tmp_path):
    target = tmp_path / "file"
    opens = (
        "from convarium import __main__ as m; import os, sys; m._open_closed_streams();"
        "f = open(sys.argv[1], 'wb'); os.write(1, b'printed'); print('printed'); f.write(b'kept')"
    )
    assert call([sys.executable, "-c", opens, target], shell_end=">&- 2>&-")[0] == 0
    assert target.read_bytes() == b"kept"


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["list", "datasets"], ["data", "list", "kmnist"]])
def test_a_user_may_have_no_home(words, tmp_path):
    code, out, err = call([sys.executable, "-c", HOMELESS, *words], cwd=tmp_path, HOME=None, XDG_CACHE_HOME=None)
    assert (code, err) == (0, "")
    assert out
    assert list(tmp_path.iterdir()) == []


def test_downloads_need_a_home_or_another_folder(tmp_path):
    code, _, err = call(
        [sys.executable, "-c", HOMELESS, "data", "fetch", "kmnist"],
        cwd=tmp_path,
        HOME=None,
        XDG_CACHE_HOME=None,
        CONVARIUM_DATA=None,
    )
    assert code == 2
    assert "Not a directory; name another folder: --data-dir" in err


def test_a_working_folder_that_is_gone_is_named_and_help_needs_none(tmp_path):
    gone = tmp_path / "gone"
    for words, code, message in ((["results", "x"], 2, "the working folder does not exist any more"), (["-h"], 0, "")):
        gone.mkdir()
        leave = ["sh", "-c", 'rmdir "$0"; exec "$@"', str(gone), *COMMAND, *words]
        done = subprocess.run(leave, capture_output=True, text=True, check=False, cwd=gone)
        assert done.returncode == code, done.stderr
        assert message in done.stderr


@pytest.mark.parametrize("columns", ["0", "garbage", "1", "9" * 30])
def test_any_number_of_columns_shows_the_table(columns):
    code, out, err = call([*COMMAND, "list", "activations"], COLUMNS=columns, TERM="dumb", LC_ALL="xx_YY.UTF-8")
    assert (code, err) == (0, "")
    assert "relu" in out


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device; free some of it, or choose"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", b"a"), "Disk quota exceeded: a; free some of it"),
        (OSError(errno.EROFS, "Read-only file system", "a"), "Read-only file system: a; choose another place to write"),
        (OSError(errno.ENOENT, "No such file or directory", "a"), "No such file or directory: a; check the path"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a" * 5000), "a; use a shorter one"),
        (
            OSError(errno.EACCES, "Permission denied", "/none/a"),
            "Permission denied: /none/a; choose another place to w",
        ),
        (OSError(errno.EIO, "Input/output error", 3), "Input/output error; check the disk and the path"),
        (OSError("in words"), "in words; check the disk and the path"),
        (OSError(), "OSError; check the disk and the path"),
        (PermissionError(), "PermissionError; check the disk and the path"),
    ],
)
def test_what_the_system_refuses_is_said_in_one_sentence(error, sentence, monkeypatch, capsys):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr("convarium.workspace.Workspace.results", refuse)
    assert main(["results", "x"]) == 1
    err = capsys.readouterr().err
    assert sentence in err
    assert "None" not in err
    assert len(err) < 1000


def test_what_may_not_be_read_is_not_called_a_place_to_write_to(tmp_path, monkeypatch, capsys):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    monkeypatch.setattr("convarium.workspace.Workspace.results", refuse)
    access = os.access  # by which root may read everything
    monkeypatch.setattr(os, "access", lambda path, mode: path != str(tmp_path) and access(path, mode))
    assert main(["results", "x"]) == 1
    assert f"Permission denied: {tmp_path}; check its permissions" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("a\0b", "has a NUL character: received 'a\\x00b'"),
        ("st\udcff", "is not UTF-8: received 'st\\udcff'"),
        ("~nosuchuser/x", "there is no home folder for store: received '~nosuchuser/x'; write the whole path"),
    ],
)
def test_a_path_that_cannot_be_one_is_refused_before_anything_is_read(path, message, tmp_path):
    with pytest.raises(ConvariumError) as error:
        Workspace(path)
    assert message in str(error.value)
    for call_verb in (
        lambda: Workspace(tmp_path, data_dir=path),
        lambda: Workspace(tmp_path).report("x", out=path),
        lambda: Workspace(tmp_path).report("x", figures=path),
        lambda: Workspace(tmp_path).evaluate(weights=path, model="lenet", dataset="digits"),
    ):
        with pytest.raises(ConvariumError, match=r"NUL|UTF-8|no home"):
            call_verb()


def test_a_home_is_found_for_a_path(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert usable_path("~/runs", "store") == tmp_path / "runs"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0\xff", "mine.py fails: SyntaxError: source code string cannot contain null bytes"),
        (b"x = " + b"-" * 100_000 + b"1", "mine.py fails: "),
        (b"(" * 5000, "mine.py fails at mine.py:1: SyntaxError: too many nested parentheses"),
        (b"raise SystemExit(7)", "mine.py fails at mine.py:1: SystemExit: 7"),
        (b"raise ValueError", "mine.py fails at mine.py:1: ValueError\n"),
        (b"study = 3", "mine.py defines no `study`"),
        (
            b"from convarium import *\nstudy = Study(name='a', question='\\ud800', recipes=grid(Recipe(), seed=[0]))",
            "the question of a study is not UTF-8: received '\\ud800'",
        ),
        (None, "file mine.py is not a file"),
    ],
)
def test_a_study_file_that_fails_is_told_in_one_sentence(content, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").mkdir() if content is None else (tmp_path / "mine.py").write_bytes(content)
    assert main(["run", "mine.py"]) == 2
    sentence = capsys.readouterr().err.partition("convarium: ")[2]
    assert sentence.startswith(message)
    assert "None" not in sentence


@pytest.mark.parametrize(
    "words",
    [
        ["results", "x" * 5000],
        ["report", "x" * 5000],
        ["evaluate", "x" * 5000],
        ["evaluate", "--weights", "x" * 5000 + ".pt", "--model", "lenet", "--dataset", "digits"],
        ["describe", "x" * 5000],
        ["run", "x" * 5000 + ".py"],
        ["train", "lenet", "--dataset", "folder:" + "x" * 3000],
        ["train", "lenet", "--epochs", "9" * 5000],
        ["train", "lenet", "--validation", "9" * 5000],
        ["compare", "lenet", "--seeds", "9" * 400],
        ["x" * 5000],
        ["results", "x\0y"],
        ["evaluate", "x\0y"],
        ["report", "\ud800"],
    ],
    ids=lambda words: " ".join(words)[:30].encode(errors="replace").decode().replace("\0", "?"),
)
def test_arguments_of_any_length_are_answered_in_a_short_sentence(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) in (1, 2)
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert sentence.startswith("convarium: ")
    assert len(sentence) < 2000
