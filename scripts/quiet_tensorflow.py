"""TensorFlow's start-up without the lines that it prints on every machine."""

import os
import re
import sys
import tempfile
from contextlib import contextmanager

from keras_sa.first_import import around_first_import

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
# Information, warnings, and the errors of a machine that has no GPU. What else is an
# error, such as a driver that is too old, is printed.
NOISE = re.compile(
    r"WARNING: All log messages before absl"
    r"|[IW]\d{4} \d\d:\d\d:"
    r"|\d{4}-\d\d-\d\d [\d:.]+: [IW] "
    r"|E.*failed call to cuInit: .*(UNKNOWN ERROR \(303\)|NO_DEVICE)"
    r"|E.*Unable to register cu\w+ factory"
    r"|To enable the following instructions:"
)


def quiet_tensorflow() -> None:
    """Keeps TensorFlow quiet in this process, once it is imported.

    Not if the environment's `TF_CPP_MIN_LOG_LEVEL` is 0 or 1: then somebody wants to
    read what TensorFlow says, of which it prints the first lines at every level.
    """
    if os.environ.setdefault(LEVEL, "2") not in ("0", "1"):
        around_first_import("tensorflow", _without_noise)


@contextmanager
def _without_noise():
    # TensorFlow writes to the descriptor, not to Python's `sys.stderr`.
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
            import tensorflow as tf

            # What it says about the devices it says when they are first asked for.
            tf.config.list_physical_devices()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            said = file.read().decode(errors="replace").splitlines(keepends=True)
            sys.stderr.write("".join(line for line in said if not NOISE.match(line)))
