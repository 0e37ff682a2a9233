"""Settings of the whole suite: quiet TensorFlow, four logical CPU devices."""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("MPLBACKEND", "agg")
# TensorFlow leaves it off on processors without AVX-512, and convolutions of maps with
# channels first don't exist without it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import pytest
import tensorflow as tf

# Code for several devices is tested everywhere, with logical ones. It must be set
# before the first operation of the process.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 4,
)


def pytest_collection_finish():
    """What the imports made stays; no collection of garbage need look at it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def clean_keras_state(request):
    """Every test begins with the same global state and leaves none behind."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    data_format = keras.config.image_data_format()
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_image_data_format(data_format)
    keras.config.set_dtype_policy(policy)
    if request.node.get_closest_marker("slow"):
        # Models refer to themselves: left alone, many large ones fill the memory.
        gc.collect()
