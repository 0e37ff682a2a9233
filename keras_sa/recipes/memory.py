"""How much memory a training will take, roughly."""

import keras
import numpy as np


def training_memory(model: keras.Model, batch_size: int) -> dict[str, int]:
    """Estimates the bytes on one device that training takes.

    Counts one copy of every layer's output for the backward pass. Workspaces of
    convolutions and what a framework keeps beside it come on top, outputs that are
    not needed again go off: take it for the order of magnitude.

    Args:
        model: A compiled functional model whose input has a fixed size.
        batch_size: Of one device.

    Returns:
        Bytes of `weights`, `gradients`, `optimizer` and `activations`.

    Raises:
        ValueError: If the size of a layer's output is not known.
    """
    if not model.optimizer.built:
        with model.distribute_strategy.scope():
            model.optimizer.build(model.trainable_variables)
    activations = 0
    for layer in model.layers:
        for output in keras.tree.flatten(layer.output):
            if None in output.shape[1:]:
                raise ValueError(
                    "The memory can be estimated for inputs of a fixed size only. "
                    f"Received: layer={layer.name!r} with the output {output.shape}"
                )
            activations += _bytes((batch_size, *output.shape[1:]), output.dtype)
    return {
        "weights": sum(_bytes(v.shape, v.dtype) for v in model.variables),
        "gradients": sum(_bytes(v.shape, v.dtype) for v in model.trainable_variables),
        "optimizer": sum(_bytes(v.shape, v.dtype) for v in model.optimizer.variables),
        "activations": activations,
    }


def _bytes(shape, dtype):
    dtype = keras.backend.standardize_dtype(dtype)
    # NumPy has no bfloat16.
    itemsize = 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
    return int(np.prod(shape, dtype=np.int64)) * itemsize
