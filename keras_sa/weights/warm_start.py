"""Starting a network with attention as exactly the ResNet it was made from.

At its initial values shuffle attention multiplies by sigmoid(1) and permutes the
channels. With the inverse permutation in the output channels of conv3 and bn3, and
gamma and beta of bn3 divided by sigmoid(1), a block with the attention is the same
function as the block without, and learns from there.

That holds in inference and in training mode. With the attention frozen, the loss and
the gradients of all weights are the ResNet's too, except that those of bn3's gamma
and beta are sigmoid(1) times as large, because their values are 1 / sigmoid(1) times
as large. Gradient descent therefore moves these two vectors of a block by
sigmoid(1)^2 = 0.53 of the ResNet's step: a lower learning rate for them, and the same
training otherwise. Their learning rate divided by that square makes the steps equal.
"""

import dataclasses

import keras
import numpy as np

from keras_sa.layers import AttentionLayer
from keras_sa.layers import ShuffleAttention
from keras_sa.layers.shuffled_order import shuffled_order
from keras_sa.utils import layer_names
from keras_sa.weights.mapping import PublishedWeight
from keras_sa.weights.mapping import published_weights

# Weights of bn3 that scale its output.
SCALED = ("bn3.weight", "bn3.bias")
PERMUTED = (*SCALED, "bn3.running_mean", "bn3.running_var", "conv3.weight")


def attention_layers(model: keras.Model) -> list[AttentionLayer]:
    """The attention layers of a network."""
    return [layer for layer in model.layers if isinstance(layer, AttentionLayer)]


def warm_start_weights(
    model: keras.Model,
) -> tuple[dict[str, PublishedWeight], list[tuple[keras.Variable, np.ndarray]]]:
    """What a plain ResNet's weights become in a network with attention.

    Args:
        model: A network of `AttentionResNet` whose attention, at its initial
            values, multiplies by a constant. Shuffle attention does.

    Returns:
        The weights that the ResNet has, by their published names, and the
        attention's weights with their initial values.

    Raises:
        ValueError: If the attention does something else at its initial values, so
            that there is no such start.
    """
    attentions = attention_layers(model)
    table = published_weights(model, without=attentions)
    initial = []
    for layer in attentions:
        fresh = _fresh(layer)
        gain, order = _initial_function(layer, fresh)
        _fold(table, layer, gain, order)
        initial += [
            (variable, value.astype(variable.dtype))
            for variable, value in zip(layer.weights, fresh.get_weights(), strict=True)
        ]
    return table, initial


def _fresh(layer):
    """The same layer with its initial values, in float64."""
    fresh = type(layer).from_config({**layer.get_config(), "dtype": "float64"})
    fresh.build(layer.input.shape)
    return fresh


def _initial_function(layer, fresh):
    """The constant the layer multiplies by, and the channel it puts at each place.

    Found by trying, so that it holds for any attention that somebody registers.
    """
    channels = layer.channels_of(layer.input.shape)
    shape = [2, 3, 3, 3]
    shape[layer.channel_axis] = channels
    x = np.random.default_rng(0).standard_normal(shape)
    y = keras.ops.convert_to_numpy(fresh(x))
    order = None
    if isinstance(layer, ShuffleAttention) and layer.shuffle:
        order = None if layer.pre_shuffled else shuffled_order(channels)
    if order is not None:
        x = np.take(x, order, axis=layer.channel_axis)
    gain = float(np.median(y / x))
    if gain == 0 or not np.allclose(y, gain * x, rtol=1e-9, atol=1e-12):
        raise ValueError(
            f"The attention {type(layer).__name__} changes its input at its initial "
            "values by more than a constant factor, so a network with it can't start "
            "as the ResNet whose weights these are. Build it with `weights=None`, or "
            "use an attention that can, such as "
            f'`attention="sa"`. Received: layer={layer.name!r}'
        )
    return gain, order


def _fold(table, layer, gain, order):
    place, _ = layer_names.parse(layer.name) or (None, None)
    before = place.layer(layer_names.EXPAND) if place else layer.name
    names = [
        name
        for name, weight in table.items()
        if name.endswith(PERMUTED) and weight.variable.path.startswith(f"{before}_")
    ]
    if not names and (order is not None or not np.isclose(gain, 1.0, rtol=1e-9)):
        raise ValueError(
            f"The attention layer {layer.name!r} multiplies by {gain} at its initial "
            "values, and there is no batch norm before it that could undo that, so "
            "the network can't start as the ResNet whose weights these are."
        )
    for name in names:
        table[name] = dataclasses.replace(
            table[name],
            channel_order=None if order is None else np.argsort(order),
            scale=1 / gain if name.endswith(SCALED) else 1.0,
        )
