"""Writes the outputs and gradients of the layers on Keras' current backend.

Run as a program, `KERAS_BACKEND=jax python outputs_on_backend.py OUT.npz`, since a
process has one backend.
"""

import sys

import contracts
import keras
import numpy as np

from keras_sa.layers import get_attention

SETTINGS = [
    ("sa", {"groups": 4}),
    ("sa", {"groups": 2, "shuffle": False}),
    ("sa", {"groups": 8, "pre_shuffled": True}),
    ("se", {}),
    ("cbam", {}),
    ("bam", {}),
    ("sge", {"groups": 4}),
    ("eca", {}),
]


def gradient(layer, x):
    """The input's gradient of the sum of the squared outputs, in training mode."""

    def loss(x):
        return keras.ops.sum(keras.ops.square(layer(x, training=True)))

    if keras.backend.backend() == "jax":
        import jax

        return jax.grad(loss)(x)
    if keras.backend.backend() == "torch":
        import torch

        x = torch.tensor(x, requires_grad=True)
        loss(x).backward()
        return x.grad
    import tensorflow as tf

    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(x)
    return tape.gradient(value, x)


def outputs():
    x = contracts.maps(2, 6, 5, 32)
    arrays = {}
    for index, (name, settings) in enumerate(SETTINGS):
        layer = get_attention(name).layer(**settings, data_format="channels_last")
        layer.build(x.shape)
        contracts.randomize(layer)
        results = {"output": layer(x), "gradient": gradient(layer, x)}
        for what, value in results.items():
            arrays[f"{index}/{what}"] = keras.ops.convert_to_numpy(value)
    return arrays


if __name__ == "__main__":
    np.savez(sys.argv[1], **outputs())
