"""Downloads from a local server that does everything servers do wrong."""

import dataclasses
import hashlib
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer

import numpy as np
import pytest

from keras_sa.weights import download
from keras_sa.weights.download import DownloadError
from keras_sa.weights.download import cache_directory
from keras_sa.weights.download import fetch
from keras_sa.weights.registry import WEIGHTS

CONTENT = np.random.default_rng(0).bytes(3 * 10**5)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2


class Handler(BaseHTTPRequestHandler):
    """Answers as the server's `plan` says, one word a request; the last one stays."""

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range")))
        plan = server.plan
        getattr(self, plan.pop(0) if len(plan) > 1 else plan[0])()

    def send(self, content, start=0, declared=None, stop=None):
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", declared or len(content) - start)
        self.end_headers()
        self.wfile.write(content[start:stop])

    def start(self):
        """The first byte that is asked for."""
        asked = self.headers.get("Range") or "bytes=0-"
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def good(self):
        start = self.start()
        if start >= len(CONTENT):
            self.send_error(416)
        else:
            self.send(CONTENT, start)

    def good_without_ranges(self):
        self.send(CONTENT)

    def slow(self):
        time.sleep(0.3)
        self.good()

    def truncated(self):
        self.send(CONTENT, stop=HALF)

    def without_length(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CONTENT)

    def corrupted(self):
        self.send(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]), self.start())

    def stalled(self):
        self.send(CONTENT, stop=HALF)
        self.wfile.flush()
        self.server.stopped.wait(20)

    def redirected(self):
        self.send_response(302)
        self.send_header("Location", "/elsewhere/file")
        self.end_headers()

    def redirected_to_a_file(self):
        self.send_response(302)
        self.send_header("Location", "file:///etc/hostname")
        self.end_headers()

    def missing(self):
        self.send_error(404)

    def failing(self):
        self.send_error(500)

    def endless(self):
        self.send_response(200)
        self.end_headers()
        for _ in range(100):
            self.wfile.write(bytes(10**5))

    def log_message(self, *args):
        """Nothing on the terminal."""


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv(download.MIRROR_VARIABLE, raising=False)
    monkeypatch.delenv(download.HUB_VARIABLE, raising=False)
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setattr(download, "TIMEOUT", 0.5)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.plan, server.requests = ["good"], []
    server.stopped = threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.stopped.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def entry(server):
    """Weights on the local server."""
    return dataclasses.replace(
        WEIGHTS["torchvision_resnet50_v2"],
        file="file.npz",
        url=f"http://127.0.0.1:{server.server_port}/file.npz",
        sha256=DIGEST,
    )


def ranges(server):
    return [asked for _, asked in server.requests]


@pytest.mark.parametrize(
    ("plan", "asked"),
    [
        (["good"], [None]),
        (["without_length"], [None]),
        (["redirected", "good"], [None, None]),
        (["failing", "good"], [None, None]),
        (["truncated", "good"], [None, f"bytes={HALF}-"]),
        (["truncated", "good_without_ranges"], [None, f"bytes={HALF}-"]),
        (["stalled", "good"], [None, f"bytes={HALF}-"]),
        (["corrupted", "good"], [None, None]),
        # What was there before was wrong: the hash shows it, from the start again.
        (["truncated", "corrupted", "good"], [None, f"bytes={HALF}-", None]),
    ],
)
def test_it_arrives_whole_in_the_end(server, entry, plan, asked):
    server.plan = plan
    path = fetch(entry)
    assert path == cache_directory() / "file.npz"
    assert path.read_bytes() == CONTENT
    assert ranges(server) == asked
    left = sorted(p.name for p in path.parent.iterdir())
    assert left == ["file.npz", "file.npz.lock"]


@pytest.mark.parametrize(
    ("plan", "attempts", "message"),
    [
        ("missing", 1, "404 Not Found"),
        ("failing", 4, "500 Internal Server Error"),
        ("truncated", 4, f"ended after {HALF} of {len(CONTENT)} bytes"),
        ("corrupted", 4, f"not {DIGEST}"),
        ("stalled", 4, "timed out"),
        ("redirected_to_a_file", 1, "302"),
    ],
)
def test_what_never_works_ends_in_an_error_with_ways_out(
    server, entry, plan, attempts, message
):
    server.plan = [plan]
    with pytest.raises(DownloadError) as error:
        fetch(entry)
    text = str(error.value)
    for part in (
        message,
        str(cache_directory() / "file.npz"),
        "give the path of a weight file",
        "`weights=None`",
        "KERAS_SA_WEIGHTS_URL",
    ):
        assert part in text
    assert len(server.requests) == attempts
    assert not (cache_directory() / "file.npz").exists()


def test_a_server_that_never_stops_does_not_fill_the_disk(server, entry, monkeypatch):
    monkeypatch.setattr(download, "MAX_BYTES", 10**6)
    server.plan = ["endless"]
    with pytest.raises(DownloadError, match="more than 1000000 bytes"):
        fetch(entry)
    assert [p.name for p in cache_directory().iterdir()] == ["file.npz.lock"]


def test_a_later_call_goes_on_where_an_earlier_one_ended(server, entry):
    server.plan = ["truncated", "missing"]
    with pytest.raises(DownloadError):
        fetch(entry)
    server.plan, server.requests = ["good"], []
    assert fetch(entry).read_bytes() == CONTENT
    assert ranges(server) == [f"bytes={HALF}-"]


def test_a_complete_partial_file_is_not_downloaded_again(server, entry):
    cache_directory().mkdir(parents=True)
    (cache_directory() / "file.npz.partial").write_bytes(CONTENT)
    assert fetch(entry).read_bytes() == CONTENT
    assert ranges(server) == [f"bytes={len(CONTENT)}-"]


def test_a_cached_file_is_verified_every_time(server, entry):
    path = fetch(entry)
    fetch(entry)
    assert len(server.requests) == 1
    path.write_bytes(CONTENT[:-1] + b"x")
    assert fetch(entry).read_bytes() == CONTENT
    assert len(server.requests) == 2
    path.write_bytes(b"changed")
    server.plan = ["missing"]
    with pytest.raises(DownloadError):
        fetch(entry)


def test_the_beginning_of_the_hash_is_enough(server, entry):
    short = dataclasses.replace(entry, sha256=DIGEST[:8])
    assert fetch(short).read_bytes() == CONTENT
    wrong = dataclasses.replace(entry, sha256="0" * 8)
    with pytest.raises(DownloadError, match="not 00000000"):
        fetch(wrong)


def test_no_server_at_all(server, entry):
    nowhere = dataclasses.replace(entry, url="http://127.0.0.1:1/file.npz")
    with pytest.raises(DownloadError, match="refused.*Three ways out"):
        fetch(nowhere)


def test_mirrors(server, entry, monkeypatch):
    hub = WEIGHTS["timm_resnet50_a1"]
    hub = dataclasses.replace(hub, sha256=DIGEST)
    base = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv(download.HUB_VARIABLE, f"{base}/hub/")
    fetch(hub)
    elsewhere = dataclasses.replace(entry, url="http://127.0.0.1:1/file.npz")
    monkeypatch.setenv(download.MIRROR_VARIABLE, f"{base}/mirror/")
    fetch(elsewhere)
    assert [path for path, _ in server.requests] == [
        "/hub/timm/resnet50.a1_in1k/resolve/main/model.safetensors",
        "/mirror/file.npz",
    ]


def test_two_at_once_download_once(server, entry):
    server.plan = ["slow"]
    threads = [threading.Thread(target=fetch, args=(entry,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1
    assert (cache_directory() / "file.npz").read_bytes() == CONTENT


@pytest.mark.slow
def test_two_processes_at_once_download_once(server, entry):
    code = (
        "from keras_sa.weights.download import fetch\n"
        "from keras_sa.weights.registry import Preprocessing, Weights\n"
        f"print(fetch({entry!r}))"
    )
    server.plan = ["slow"]
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert len(server.requests) == 1
    assert (cache_directory() / "file.npz").read_bytes() == CONTENT
