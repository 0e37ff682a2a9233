"""What happens with images that can't be decoded."""

import codecs
import copy
import json
import os
import re
import threading
from pathlib import Path

from keras_sa.data.decoding import decode
from keras_sa.data.decoding import decoder_message
from keras_sa.utils.files import write_atomically

UNDECODABLE = "Can't be decoded as an image: "


class BadImages:
    """Refuses images that can't be decoded, or skips and reports them.

    Args:
        skip: `False`: reading stops with an error that names the images. `True`:
            they get weight 0, and so do links that lead nowhere. Other files that
            can't be opened stop it all the same: they may be good.
        report: With `skip`, a file that lists them, one JSON object
            `{"image": ..., "reason": ...}` a line, each image once. It is written
            anew whenever one more is found, and keeps what it held: training and
            validation, and a training that is resumed, share it.
    """

    # Several of these may have one report.
    _lock = threading.Lock()

    def __init__(self, skip: bool = False, report: str | Path | None = None):
        if report is not None and not skip:
            raise ValueError(
                "A report of bad images is only written where they are skipped. "
                f"Received: skip_bad_images=False, report={str(report)!r}"
            )
        self.skip = skip
        self.report = None if report is None else Path(report)
        self.found: dict[str, str] = {}

    def of_worker(self, index: int) -> "BadImages":
        """The same for one of several workers, which has a report of its own.

        Workers can't write one file together. That of worker 1 is beside it, named
        `NAME.1.jsonl`.
        """
        if self.report is None or index == 0:
            return self
        worker = copy.copy(self)
        name = f"{self.report.stem}.{index}{self.report.suffix}"
        worker.report = self.report.with_name(name)
        return worker

    def weights(self, weights, done, names, contents):
        """Sets the weights of the images that failed to 0, in a graph.

        Args:
            weights: float32 `(rows,)`.
            done: bool `(rows,)`: which images were decoded.
            names: Function of an int64 tensor of row numbers: what to call these.
            contents: Function of such row numbers: the bytes of these images, and why
                they could not be read, if so: two string tensors.

        Returns:
            The new weights.

        Raises:
            tf.errors.InvalidArgumentError: If an image failed and may not; at the
                time of reading.
        """
        import tensorflow as tf

        def failed():
            rows = tf.where(~done)[:, 0]
            go_on, message = tf.numpy_function(
                self._note, [names(rows), *contents(rows)], (tf.bool, tf.string)
            )
            with tf.control_dependencies([tf.Assert(go_on, [message], summarize=-1)]):
                return tf.where(done, weights, 0.0)

        return tf.cond(tf.reduce_all(done), lambda: weights, failed)

    def _note(self, names, contents, unread):
        """Whether to go on without these images, and what to say if not."""
        names = [name.decode(errors="replace") for name in names]
        unread = dict(zip(names, map(bytes.decode, unread), strict=True))
        reasons = {
            name: unread[name] or _reason(data)
            for name, data in zip(names, contents, strict=True)
        }
        readable = [name for name, reason in reasons.items() if reason is None]
        if readable:
            # Not an image's fault: leaving it out would hide a failing disk.
            return False, f"Could be read at the second attempt only: {readable}"
        # A link that leads nowhere is known by its name; a file that is gone is not.
        skip = self.skip and all(map(os.path.islink, filter(unread.get, names)))
        with self._lock:
            news = not reasons.keys() <= self.found.keys()
            self.found.update(reasons)
            if skip and news and self.report is not None:
                self._write(self.report)
        listed = [f"{name} ({reason})" for name, reason in reasons.items()]
        return skip, UNDECODABLE + "; ".join(listed)

    def _write(self, report):
        listed = read_report(report) if report.exists() else {}
        lines = [
            json.dumps({"image": name, "reason": reason}) + "\n"
            for name, reason in sorted({**listed, **self.found}.items())
        ]
        report.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(report, "".join(lines))


def read_report(path: Path) -> dict[str, str]:
    """The images that a report lists, and why they can't be decoded."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {each["image"]: each["reason"] for each in map(json.loads, lines)}


def undecodable_images(error: Exception) -> str | None:
    """What `BadImages` said when it stopped the reading, without what `tf.data` added.

    Args:
        error: Any error.

    Returns:
        The message, or `None` if the error is another one.
    """
    # In an assertion's message bytes are escaped as in C.
    start = re.escape(UNDECODABLE).replace("'", r"\\?'")
    found = re.search(rf"\[({start}.*)\]", str(error))
    if found is None:
        return None
    contents, _ = codecs.escape_decode(found.group(1).encode())
    return contents.decode(errors="replace")


def _reason(contents):
    import tensorflow as tf

    if not contents:
        return "the file is empty"
    try:
        decode(tf.constant(contents))
    except tf.errors.OpError as error:
        return decoder_message(error)
    return None
