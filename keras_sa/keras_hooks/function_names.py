"""Names of TensorFlow's functions that are the same in every process."""

import os

STEP = 2**20


def settle_function_names() -> None:
    """Makes the names of the functions that are traced next the same in every process.

    TensorFlow numbers functions, tensors and operations with one counter and looks a
    compiled function up by its name, so that a training that goes on would find
    nothing that it has compiled before. The counter is brought to the next multiple of
    a number that is far larger than what is counted until then. That takes a tenth of a
    second, and is done only where `TF_XLA_FLAGS` names a cache.
    """
    if "tf_xla_persistent_cache_directory" not in os.environ.get("TF_XLA_FLAGS", ""):
        return
    from tensorflow.python.framework import ops

    while ops.uid() % STEP:
        pass
