"""Verified downloads into the Keras cache.

`keras.utils.get_file` has the place, but not what a 240 MB file needs: it writes to
the final name, leaves a file there whose hash was wrong, waits for a stalled server
for ever, starts every retry from the beginning and knows no hash prefixes.
"""

import hashlib
import http.client
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import keras

from keras_sa.weights.registry import HUGGING_FACE
from keras_sa.weights.registry import Weights

MIRROR_VARIABLE = "KERAS_SA_WEIGHTS_URL"
HUB_VARIABLE = "HF_ENDPOINT"
ATTEMPTS = 4
# Seconds: of silence until a server counts as stalled; until there is no network;
# between two attempts.
TIMEOUT = 30.0
CONNECT_TIMEOUT = 8.0
PAUSE = 1.0
BLOCK = 2**20
# Far more than any entry; a server that sends without end must not fill the disk.
MAX_BYTES = 2**30
# Answers that another attempt may change.
PASSING = (408, 429, 500, 502, 503, 504)


class DownloadError(ConnectionError):
    """A weight file could not be downloaded."""


def cache_directory() -> Path:
    """`$KERAS_HOME/models/keras_sa`; `KERAS_HOME` is `~/.keras` if not set."""
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    return Path(home) / "models" / "keras_sa"


def source_url(entry: Weights) -> str | None:
    """Where an entry is downloaded from, with the mirrors that the user has set."""
    mirror = os.environ.get(MIRROR_VARIABLE)
    if entry.url and mirror:
        return f"{mirror.rstrip('/')}/{entry.file}"
    hub = os.environ.get(HUB_VARIABLE)
    if entry.url and hub:
        return entry.url.replace(HUGGING_FACE, hub.rstrip("/"), 1)
    return entry.url


def file_digest(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def expected_digest(entry: Weights) -> str | None:
    """The SHA-256 of an entry's file or its beginning, `None` if nobody knows it.

    Of a file that the user installed it was written down then.
    """
    if entry.sha256:
        return entry.sha256
    record = digest_record(cache_directory() / entry.file)
    return record.read_text().strip() if record.is_file() else None


def digest_record(path: Path) -> Path:
    """Where the SHA-256 of an installed file is written down."""
    return path.with_name(f"{path.name}.sha256")


def is_intact(entry: Weights) -> bool:
    """Whether the cached file of an entry is there and has the right SHA-256."""
    path = cache_directory() / entry.file
    expected = expected_digest(entry)
    if not expected or not path.is_file():
        return False
    return file_digest(path).startswith(expected)


def fetch(entry: Weights) -> Path:
    """The verified file of an entry, downloaded unless it is in the cache.

    Args:
        entry: One of `WEIGHTS`.

    Returns:
        The path of the file, whose SHA-256 has just been compared.

    Raises:
        FileNotFoundError: If the entry can't be downloaded and is not installed.
        DownloadError: If the download failed; the message says what else to do.
    """
    path = cache_directory() / entry.file
    if is_intact(entry):
        return path
    if entry.url is None:
        state = (
            "the file there does not have the SHA-256 it was installed with"
            if path.exists()
            else "nothing is there"
        )
        raise FileNotFoundError(
            "The weights of SA-Net's authors can't be downloaded automatically. Get "
            "their file, which their README links to, and run `keras-sa convert FILE "
            f"--install`. That puts them at {str(path)!r}; {state}."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with _lock(path.with_name(f"{path.name}.lock")):
        # Another process may have been faster.
        if not is_intact(entry):
            _download(source_url(entry), path, entry.sha256)
    return path


def _download(url, path, sha256):
    partial = path.with_name(f"{path.name}.partial")
    problem = _unreachable(url)
    problems = [problem] if problem else []
    for attempt in range(0 if problem else ATTEMPTS):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            _transfer(url, partial)
        except urllib.error.HTTPError as error:
            problems.append(f"the server answered {error.code} {error.reason}")
            if error.code not in PASSING:
                break
        except (OSError, http.client.HTTPException) as error:
            problems.append(str(error) or type(error).__name__)
        except ValueError as error:
            partial.unlink(missing_ok=True)
            problems.append(str(error))
            break
        else:
            digest = file_digest(partial)
            if digest.startswith(sha256):
                os.replace(partial, path)
                return
            partial.unlink()
            problems.append(f"the SHA-256 was {digest}, not {sha256}...")
    raise DownloadError(
        f"{url} could not be downloaded after {len(problems)} attempt(s) "
        f"({'; '.join(dict.fromkeys(problems))}). Three ways out: copy the file to "
        f"{str(path)!r}, give the path of a weight file as `weights`, or start "
        f"without one by `weights=None`. {MIRROR_VARIABLE} and {HUB_VARIABLE} name "
        "mirrors."
    )


def _unreachable(url) -> str | None:
    """Why no connection can be made at all, if so: then nothing is worth a retry."""
    parts = urlsplit(url)
    if parts.hostname is None or parts.scheme in urllib.request.getproxies():
        return None
    problems = []

    def connect():
        port = parts.port or {"http": 80}.get(parts.scheme, 443)
        try:
            socket.create_connection((parts.hostname, port), CONNECT_TIMEOUT).close()
        except OSError as error:
            problems.append(str(error) or type(error).__name__)
        except ValueError:
            pass

    # Looking up a name knows no time limit of its own.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(CONNECT_TIMEOUT)
    if thread.is_alive():
        return f"no connection to {parts.hostname} within {CONNECT_TIMEOUT:g} s"
    return problems[0] if problems else None


def _transfer(url, partial):
    """Downloads what is missing in the partial file.

    Raises:
        OSError, http.client.HTTPException: If it did not arrive.
        ValueError: If it makes no sense to try again.
    """
    done = partial.stat().st_size if partial.exists() else 0
    headers = {"User-Agent": "keras-sa"}
    if done:
        headers["Range"] = f"bytes={done}-"
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            if done and error.code == 416:
                # Nothing is missing, or the file is another one: the hash tells.
                return
        raise
    with response:
        resumed = response.status == 206
        if not resumed:
            done = 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        with partial.open("ab" if resumed else "wb") as file:
            done = _copy(response, file, done, total)
    if total is not None and done < total:
        raise OSError(f"the connection ended after {done} of {total} bytes")


def _copy(response, file, done, total):
    """Copies the response, shows the progress and returns the size in the end."""
    bar = keras.utils.Progbar(total, unit_name="byte")
    # Not `read`: it would lose what came before a server stalled.
    while block := response.read1(BLOCK):
        file.write(block)
        done += len(block)
        if done > MAX_BYTES:
            raise ValueError(f"it sent more than {MAX_BYTES} bytes")
        bar.update(done)
    return done


@contextmanager
def _lock(path):
    """Lets one process at a time work, where the system can do that (not Windows).

    Without the lock two processes may spoil each other's partial file; its hash
    shows that, and nothing wrong gets the final name.
    """
    with path.open("a") as file:
        with suppress(ImportError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
