import hashlib
import io
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import convarium.data
from convarium.data import fetch
from convarium.data.download import download_files
from convarium.data.sources import Layout, RemoteFile, find
from convarium.errors import DataError

CONTENT = bytes(range(256)) * 4000  # about a megabyte: several chunks
MD5 = hashlib.md5(CONTENT).hexdigest()


class Mirror(BaseHTTPRequestHandler):
    """Serves CONTENT in the way that the first folder of the path names."""

    def do_GET(self):
        manner = self.path.split("/")[1]
        asked = self.headers.get("Range")
        self.server.requests.append((manner, asked))
        if manner == "missing":
            self.send_error(404)
            return
        begin = (
            int(asked.removeprefix("bytes=").rstrip("-")) if asked and manner not in ("ignores-ranges", "page") else 0
        )
        body = {"corrupted": b"x" + CONTENT[1:], "page": b"<html>please log in</html>", "long": CONTENT * 2}
        content = body.get(manner, CONTENT)[begin:]
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(content)))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()
        if manner == "cut" or (manner in ("cut-once", "ignores-ranges") and len(self.server.requests) == 1):
            content = content[: len(content) // 2]
        if manner == "slow":
            self.wfile.write(content[:1000])
            self.wfile.flush()
            self.server.stopped.wait(5)
            return
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def mirror():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    server.requests, server.stopped = [], threading.Event()
    server.handle_error = lambda *_: None  # a client that hangs up is part of the game
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.stopped.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def offered(mirror, *manners: str) -> RemoteFile:
    urls = tuple(f"http://127.0.0.1:{mirror.server_port}/{manner}/images.gz" for manner in manners)
    return RemoteFile("images.gz", len(CONTENT), MD5, urls)


def assert_arrived(folder):
    assert (folder / "images.gz").read_bytes() == CONTENT
    assert [p.name for p in folder.iterdir()] == ["images.gz"]


@pytest.mark.parametrize(
    "manners",
    [
        ("whole",),
        ("missing", "whole"),
        ("corrupted", "whole"),
        ("page", "whole"),
        ("long", "whole"),
        ("slow", "whole"),
        ("cut-once",),
        ("ignores-ranges",),
        ("cut", "whole"),
    ],
    ids="-then-".join,
)
def test_a_file_arrives_whole_from_the_first_mirror_that_has_it(manners, mirror, tmp_path):
    told = []
    folder = tmp_path / "new" / "folder"
    download_files([offered(mirror, *manners)], folder, on_event=lambda *values: told.append(values), timeout=0.5)
    assert_arrived(folder)
    assert told[-1] == ("images.gz", len(CONTENT), len(CONTENT))
    assert all(0 < done <= total for _, done, total in told)
    assert mirror.requests[-1][0] == manners[-1]


def test_what_broke_off_is_resumed_and_not_sent_again(mirror, tmp_path):
    with pytest.raises(DataError):
        download_files([offered(mirror, "slow")], tmp_path, timeout=0.2)
    assert (tmp_path / ".images.gz.partial").stat().st_size >= 1000
    mirror.requests.clear()
    download_files([offered(mirror, "whole")], tmp_path)
    assert_arrived(tmp_path)
    [(_, asked)] = mirror.requests
    assert int(asked.removeprefix("bytes=").rstrip("-")) >= 1000


def test_a_file_that_was_complete_but_not_yet_in_place_needs_no_server(tmp_path):
    (tmp_path / ".images.gz.partial").write_bytes(CONTENT)
    download_files([RemoteFile("images.gz", len(CONTENT), MD5, ("http://127.0.0.1:9/images.gz",))], tmp_path)
    assert_arrived(tmp_path)


@pytest.mark.parametrize("rest", [b"rubbish", CONTENT[:-1] + b"x", CONTENT + b"more"], ids=["short", "equal", "long"])
def test_a_damaged_rest_of_an_earlier_attempt_does_no_harm(rest, mirror, tmp_path):
    (tmp_path / ".images.gz.partial").write_bytes(rest)
    download_files([offered(mirror, "whole")], tmp_path)
    assert_arrived(tmp_path)


def test_a_file_that_is_there_is_left_alone(mirror, tmp_path):
    (tmp_path / "images.gz").write_bytes(b"mine")
    download_files([offered(mirror, "whole")], tmp_path)
    assert (tmp_path / "images.gz").read_bytes() == b"mine"
    assert mirror.requests == []


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("missing", "Not Found"),
        ("corrupted", "not the published one"),
        ("page", "sent 26 bytes instead of 1024000"),
        ("long", "not the published one"),
        ("slow", "timed out"),
    ],
)
def test_without_any_mirror_the_error_says_what_to_get_and_where_to_put_it(manner, reason, mirror, tmp_path):
    other = replace(offered(mirror, manner), name="labels.gz", md5="0" * 32)
    with pytest.raises(DataError) as raised:
        download_files([offered(mirror, manner), other], tmp_path, timeout=0.2)
    text = str(raised.value)
    assert reason in text
    assert f"images.gz (MD5 {MD5}), labels.gz (MD5 {'0' * 32})" in text
    assert str(tmp_path) in text
    assert "\n" not in text
    assert not (tmp_path / "images.gz").exists()


def test_without_a_network_the_error_comes_at_once(tmp_path):
    began = time.monotonic()
    with pytest.raises(DataError, match="Connection refused"):
        download_files([RemoteFile("images.gz", 1, MD5, ("http://127.0.0.1:9/images.gz",) * 3)], tmp_path)
    assert time.monotonic() - began < 5


def test_a_folder_that_cannot_be_written_is_named(mirror, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot write to .*file.*--data-dir"):
        download_files([offered(mirror, "whole")], tmp_path / "file" / "mnist")


def test_processes_that_download_at_the_same_time_do_not_disturb_each_other(mirror, tmp_path):
    file = offered(mirror, "whole")
    script = (
        "from pathlib import Path; from convarium.data.download import download_files;"
        "from convarium.data.sources import RemoteFile; print('ready', flush=True); folder = Path(input());"
        f"download_files([RemoteFile({file.name!r}, {file.size}, {file.md5!r}, {file.urls!r})], folder)"
    )
    other = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    other.stdout.readline()
    threads = [threading.Thread(target=download_files, args=([file], tmp_path)) for _ in range(3)]
    for thread in threads:
        thread.start()
    other.communicate(f"{tmp_path}\n")
    for thread in threads:
        thread.join()
    assert other.returncode == 0
    assert_arrived(tmp_path)


def test_fetch_downloads_once_verifies_and_names_the_folder(mirror, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONVARIUM_DATA", str(tmp_path / "data"))
    file = offered(mirror, "whole")
    layout = Layout({"images.gz": MD5}, ("images", "Images/raw"), lambda _: None)
    known = replace(convarium.data.DATASETS["mnist"], files=(file,), layouts=(layout,))
    monkeypatch.setitem(convarium.data.DATASETS, "mnist", known)
    assert fetch("mnist") == tmp_path / "data" / "images"
    assert fetch("mnist") == tmp_path / "data" / "images"
    assert len(mirror.requests) == 1
    assert find(known) == (layout, tmp_path / "data" / "images")
    (tmp_path / "data" / "images" / "images.gz").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"images.gz is not the published file.*delete it"):
        fetch("mnist")


def packed(*names: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("batches"), None)
        for name in names:
            member = tarfile.TarInfo(f"batches/{name}")
            member.size = len(name)
            archive.addfile(member, io.BytesIO(name.encode()))
    return out.getvalue()


def test_a_downloaded_archive_is_unpacked_into_the_form_that_is_read_quickest(mirror, tmp_path, monkeypatch):
    archive = packed("train", "test")
    monkeypatch.setattr(sys.modules[__name__], "CONTENT", archive)
    md5 = hashlib.md5(archive).hexdigest()
    file = RemoteFile("all.tar.gz", len(archive), md5, (f"http://127.0.0.1:{mirror.server_port}/whole/all.tar.gz",))
    unpacked = Layout(
        {n: hashlib.md5(n.encode()).hexdigest() for n in ("train", "test")}, ("./batches",), lambda _: None
    )
    as_it_came = Layout({"all.tar.gz": md5}, (".",), lambda _: None)
    known = replace(convarium.data.DATASETS["cifar10"], files=(file,), layouts=(unpacked, as_it_came))
    monkeypatch.setitem(convarium.data.DATASETS, "cifar10", known)
    assert fetch("cifar10", data_dir=tmp_path) == tmp_path / "batches"
    assert [p.name for p in tmp_path.iterdir()] == ["batches"]
    assert find(known, tmp_path) == (unpacked, tmp_path / "batches")

    (tmp_path / "batches" / "test").unlink()  # a folder that is there already is not touched
    assert fetch("cifar10", data_dir=tmp_path) == tmp_path
    assert sorted(p.name for p in tmp_path.iterdir()) == ["all.tar.gz", "batches"]
    assert find(known, tmp_path) == (as_it_came, tmp_path)


def test_digits_need_no_download():
    assert fetch("digits") is None
