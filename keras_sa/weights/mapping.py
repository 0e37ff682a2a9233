"""The published names of the weights and what they are called here.

The PyTorch networks (SA-Net's, torchvision's and timm's ResNet "v1.5") name their
weights `layer1.0.conv1.weight`, ...; here the same weight is the variable `kernel`
of the layer `conv2_block1_1_conv`. Convolutions are (out, in, height, width) there
and (height, width, in, out) here. Where the shuffle is built into the weights
(`ShuffleAttention(pre_shuffled=True)`), conv3 and bn3 hold their output channels in
shuffled order here.
"""

import re
from dataclasses import dataclass

import keras
import numpy as np

from keras_sa.layers import ShuffleAttention

LAYERS = {
    "conv1_conv": "conv1",
    "conv1_bn": "bn1",
    "predictions": "fc",
}
BLOCK_LAYERS = {
    "1_conv": "conv1",
    "1_bn": "bn1",
    "2_conv": "conv2",
    "2_bn": "bn2",
    "3_conv": "conv3",
    "3_bn": "bn3",
    "attention": "sa",
    "0_conv": "downsample.0",
    "0_bn": "downsample.1",
}
VARIABLES = {
    keras.layers.Conv2D: {"kernel": "weight"},
    keras.layers.Dense: {"kernel": "weight", "bias": "bias"},
    keras.layers.BatchNormalization: {
        "gamma": "weight",
        "beta": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
    },
    ShuffleAttention: {
        "channel_weight": "cweight",
        "channel_bias": "cbias",
        "spatial_weight": "sweight",
        "spatial_bias": "sbias",
        "gamma": "gn.weight",
        "beta": "gn.bias",
    },
}
BLOCK = re.compile(r"conv(\d+)_block(\d+)_(.+)")
SHUFFLED_LAYERS = ("3_conv", "3_bn")
GATE_VARIABLES = ("cweight", "cbias", "sweight", "sbias")


@dataclass(frozen=True)
class PublishedWeight:
    """A variable of a model and the published form of its value.

    Args:
        variable: The Keras variable.
        axes: The permutation of axes from the published layout to ours, or `None`
            when only the shape differs.
        shape: The published shape.
        channel_order: For each of our output channels (the last axis) the published
            channel it holds, or `None` when they are the same.
    """

    variable: keras.Variable
    axes: tuple[int, ...] | None
    shape: tuple[int, ...]
    channel_order: np.ndarray | None

    def to_keras(self, array: np.ndarray) -> np.ndarray:
        """From the published layout to ours."""
        if self.axes is not None:
            array = np.transpose(array, self.axes)
        array = np.reshape(array, self.variable.shape)
        if self.channel_order is not None:
            array = array[..., self.channel_order]
        return array

    def to_published(self, array: np.ndarray) -> np.ndarray:
        """From our layout to the published one."""
        if self.channel_order is not None:
            array = array[..., np.argsort(self.channel_order)]
        if self.axes is not None:
            array = np.transpose(array, np.argsort(self.axes))
        return np.reshape(array, self.shape)


def published_weights(model: keras.Model) -> dict[str, PublishedWeight]:
    """The weights of an `AttentionResNet` by their published names.

    Args:
        model: A network of `AttentionResNet` with shuffle attention or without
            attention, with or without its top.

    Returns:
        The names in the order of the model's layers, such as
        `"layer1.0.conv1.weight"`.

    Raises:
        ValueError: If the model has a weight without a published name.
    """
    table = {}
    for layer in model.layers:
        if not layer.weights:
            continue
        prefix = _published_prefix(layer)
        names = next((n for kind, n in VARIABLES.items() if type(layer) is kind), {})
        for variable in layer.weights:
            if prefix is None or variable.name not in names:
                raise ValueError(
                    f"The weight {variable.path!r} has no published name. Networks "
                    "with a published form are those of `AttentionResNet` with "
                    '`attention="sa"` or `attention=None`. '
                    f"Received: model={model.name!r}"
                )
            name = names[variable.name]
            table[f"{prefix}.{name}"] = _entry(model, layer, variable, name)
    return table


def shuffled_order(channels: int) -> np.ndarray:
    """The channel that the shuffle puts at each position: 0, C/2, 1, C/2 + 1, ..."""
    return np.arange(channels).reshape(2, -1).T.ravel()


def _published_prefix(layer):
    if layer.name in LAYERS:
        return LAYERS[layer.name]
    match = BLOCK.fullmatch(layer.name)
    if match and match[3] in BLOCK_LAYERS:
        stage, block = int(match[1]) - 1, int(match[2]) - 1
        return f"layer{stage}.{block}.{BLOCK_LAYERS[match[3]]}"
    return None


def _entry(model, layer, variable, name):
    shape = tuple(variable.shape)
    axes = None
    if len(shape) == 4:
        axes = (2, 3, 1, 0)
        shape = tuple(shape[axis] for axis in np.argsort(axes))
    elif len(shape) == 2:
        axes = (1, 0)
        shape = shape[::-1]
    elif name in GATE_VARIABLES:
        shape = (1, *shape, 1, 1)
    order = None
    if _is_shuffled(model, layer):
        order = shuffled_order(variable.shape[-1])
    return PublishedWeight(variable, axes, shape, order)


def _is_shuffled(model, layer):
    match = BLOCK.fullmatch(layer.name)
    if not match or match[3] not in SHUFFLED_LAYERS:
        return False
    name = f"conv{match[1]}_block{match[2]}_attention"
    attention = next((a for a in model.layers if a.name == name), None)
    return isinstance(attention, ShuffleAttention) and attention.pre_shuffled
