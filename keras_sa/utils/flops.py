"""The arithmetic of a model, counted as in the paper's tables."""

import math

import keras

from keras_sa import keras_hooks
from keras_sa.layers import AttentionLayer
from keras_sa.layers import BatchNormalization


def _convolution(layer, inputs, outputs):
    kernel = math.prod(layer.kernel.shape[:-1])
    return math.prod(outputs) * (kernel + layer.use_bias)


def _dense(layer, inputs, outputs):
    return math.prod(outputs) * inputs[-1]


def _batch_norm(layer, inputs, outputs):
    return 2 * math.prod(outputs)


def _each_input(layer, inputs, outputs):
    return math.prod(inputs)


MULTIPLY_ADDS = {
    keras.layers.Conv2D: _convolution,
    keras.layers.Dense: _dense,
    keras.layers.BatchNormalization: _batch_norm,
    BatchNormalization: _batch_norm,
    keras.layers.Activation: _each_input,
    keras.layers.ReLU: _each_input,
    keras.layers.MaxPooling2D: _each_input,
    keras.layers.AveragePooling2D: _each_input,
    keras.layers.GlobalAveragePooling2D: _each_input,
    keras.layers.GlobalMaxPooling2D: _each_input,
}


def count_flops(model: keras.Model) -> int:
    """Counts the multiply-adds of one image's forward pass.

    The counting rules are those behind the published tables, which they give to
    three decimals: a convolution counts one multiply-add for each weight it applies
    and one for a bias, a dense layer one for each weight, a batch norm two for each
    value, an activation and a pooling over the map one for each value they read, an
    attention layer what its `multiply_adds` says. That follows the same rules, where
    the sigmoids and products of its gates count nothing; neither do additions and
    padding.

    Args:
        model: A functional `keras.Model` for images of a known size. Models nested
            in it are counted too.

    Returns:
        The number of multiply-adds; divide by 1e9 for the tables' GFLOPs.

    Raises:
        ValueError: If the image size is unknown or a layer with weights has no
            counting rule.

    Example:

    >>> round(count_flops(SAResNet50(weights=None)) / 1e9, 3)
    4.125
    """
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            total += count_flops(layer)
            continue
        count = _counting_rule(layer)
        if count is not None:
            total += count(*_shapes(model, layer))
    return total


def _counting_rule(layer):
    if isinstance(layer, AttentionLayer):
        return lambda inputs, outputs: layer.multiply_adds(inputs)
    for kind, rule in MULTIPLY_ADDS.items():
        if type(layer) is kind:
            return lambda inputs, outputs: rule(layer, inputs, outputs)
    if layer.weights:
        raise ValueError(
            "There is no rule to count the multiply-adds of this kind of layer. "
            f"Received: layer={layer.name!r} of {type(layer)}"
        )
    return None


def _shapes(model, layer):
    inputs = layer.input
    source = keras_hooks.source_of(inputs)
    if isinstance(source, keras.layers.ZeroPadding2D):
        # The zeros are not read from the maps.
        inputs = source.input
    shapes = tuple(inputs.shape[1:]), tuple(layer.output.shape[1:])
    if None in shapes[0] + shapes[1]:
        raise ValueError(
            "The multiply-adds depend on the image size; build the model with a "
            f"known `input_shape`. Received: model={model.name!r} with "
            f"input_shape={model.input_shape}"
        )
    return shapes
