"""What the attentions of a network let through."""

import keras
import numpy as np

from keras_sa import keras_hooks
from keras_sa.layers import AttentionLayer
from keras_sa.visualization.heat_maps import channels_last
from keras_sa.visualization.recording import batches
from keras_sa.visualization.recording import distinct
from keras_sa.visualization.recording import image_batch
from keras_sa.visualization.recording import record
from keras_sa.visualization.recording import to_float32


def attention_maps(
    model: keras.Model, images: np.ndarray, *, batch_size: int = 32
) -> dict[str, np.ndarray]:
    """The gates of every attention: by how much each activation is multiplied.

    Args:
        model: A model with attentions that have a method `gate(inputs)`, such as
            `ShuffleAttention`; they may be in nested models.
        images: A batch as the model takes it.
        batch_size: How many images are computed at once.

    Returns:
        For every attention's name, in the order in which they are called, a float32
        array `(batch, height, width, channels)`, with a height and width of 1 if the
        gate is the same everywhere. Channels are in the order of the layer's output.
        Another attention of the same name, or another call of the same one, has `:2`
        and so on behind it.

    Raises:
        ValueError: If there is no such layer.
    """
    images = image_batch(model, images)
    slices = list(batches(images, batch_size))
    layers = gated_layers(model)
    if not layers:
        raise ValueError(
            "`model` has no attention with a method `gate(inputs)`, such as "
            f"`ShuffleAttention`. Received: model={model.name!r}"
        )
    found: dict[str, list[np.ndarray]] = {}
    for part in slices:
        recording = record(model, images[part], layers)
        calls = [call for call in recording.calls if call.inputs is not None]
        names = distinct(call.operation.name for call in calls)
        for name, call in zip(names, calls, strict=True):
            gates = to_float32(call.operation.gate(call.inputs))
            gates = channels_last(gates, call.operation.data_format)
            found.setdefault(name, []).append(gates)
    return {name: np.concatenate(gates) for name, gates in found.items()}


def gated_layers(model: keras.Model) -> list[AttentionLayer]:
    """The attentions that can tell their gates, also those in nested models."""
    return [
        layer
        for layer in keras_hooks.operations_of(model)
        if isinstance(layer, AttentionLayer) and hasattr(layer, "gate")
    ]
