"""Small networks, their state and weight files of every format."""

import numpy as np

from keras_sa.applications import AttentionResNet

FORMATS = (".pth", ".pth.tar", ".safetensors", ".npz", ".weights.h5", ".keras")


def build_tiny(attention="sa", groups=4, **arguments):
    """A network of two blocks for 32x32 images with logits as output."""
    options = {"groups": groups} if attention == "sa" else None
    arguments = {
        "attention_options": options,
        "blocks": (1, 1),
        "width": 16,
        "stem": "small",
        "input_shape": (32, 32, 3),
        "classes": 10,
        "classifier_activation": None,
        **arguments,
    }
    return AttentionResNet(attention=attention, weights=None, **arguments)


def randomise(model, seed=0):
    """Random values for every weight, with activations that stay of order one."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        noise = rng.standard_normal(variable.shape)
        if len(variable.shape) == 4:
            fan_in = np.prod(variable.shape[:3])
            variable.assign(noise * np.sqrt(2 / fan_in))
        elif "variance" in variable.path:
            variable.assign(1 + 0.2 * abs(noise))
        elif variable.path.endswith("3_bn/gamma"):
            variable.assign(0.4 + 0.1 * noise)
        else:
            variable.assign(variable.numpy() + 0.1 * noise)
    return model


def state_of(model):
    return [variable.numpy() for variable in model.weights]


def assert_same_state(model, state):
    for variable, value in zip(model.weights, state, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, variable.path)
