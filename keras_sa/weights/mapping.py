"""The published names of the weights and what they are called here.

The PyTorch networks (SA-Net's, torchvision's and timm's ResNet "v1.5") name their
weights `layer1.0.conv1.weight`, ...; here the same weight is the variable `kernel`
of the layer `conv2_block1_1_conv`. Convolutions are (out, in, height, width) there
and (height, width, in, out) here. Where the shuffle is built into the weights
(`ShuffleAttention(pre_shuffled=True)`), conv3 and bn3 hold their output channels in
shuffled order here.
"""

from collections.abc import Collection
from dataclasses import dataclass

import keras
import numpy as np

from keras_sa.layers import BatchNormalization
from keras_sa.layers import ShuffleAttention
from keras_sa.layers.shuffled_order import shuffled_order
from keras_sa.utils import layer_names
from keras_sa.weights.stored import StoredArray

LAYERS = {
    f"{layer_names.STEM}_conv": "conv1",
    f"{layer_names.STEM}_bn": "bn1",
    layer_names.HEAD: "fc",
}
BLOCK_LAYERS = {
    f"{layer_names.REDUCE}_conv": "conv1",
    f"{layer_names.REDUCE}_bn": "bn1",
    f"{layer_names.SPATIAL}_conv": "conv2",
    f"{layer_names.SPATIAL}_bn": "bn2",
    f"{layer_names.EXPAND}_conv": "conv3",
    f"{layer_names.EXPAND}_bn": "bn3",
    layer_names.ATTENTION: "sa",
    f"{layer_names.SHORTCUT}_conv": "downsample.0",
    f"{layer_names.SHORTCUT}_bn": "downsample.1",
}
BATCH_NORM_VARIABLES = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
VARIABLES = {
    keras.layers.Conv2D: {"kernel": "weight"},
    keras.layers.Dense: {"kernel": "weight", "bias": "bias"},
    keras.layers.BatchNormalization: BATCH_NORM_VARIABLES,
    BatchNormalization: BATCH_NORM_VARIABLES,
    ShuffleAttention: {
        "channel_weight": "cweight",
        "channel_bias": "cbias",
        "spatial_weight": "sweight",
        "spatial_bias": "sbias",
        "gamma": "gn.weight",
        "beta": "gn.bias",
    },
}
# The class of a layer by the end of its name.
KINDS = {
    "_conv": keras.layers.Conv2D,
    "_bn": keras.layers.BatchNormalization,
    f"_{layer_names.ATTENTION}": ShuffleAttention,
    layer_names.HEAD: keras.layers.Dense,
}
# From the published axes to ours: convolutions and dense layers.
AXES = {4: (2, 3, 1, 0), 2: (1, 0)}
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
        scale: What the published values are multiplied by.
    """

    variable: keras.Variable
    axes: tuple[int, ...] | None
    shape: tuple[int, ...]
    channel_order: np.ndarray | None
    scale: float = 1.0

    def to_keras(self, array: np.ndarray) -> np.ndarray:
        """From the published layout to ours."""
        if self.axes is not None:
            array = np.transpose(array, self.axes)
        array = np.reshape(array, self.variable.shape)
        if self.channel_order is not None:
            array = array[..., self.channel_order]
        return array * self.scale if self.scale != 1.0 else array

    def to_published(self, array: np.ndarray) -> np.ndarray:
        """From our layout to the published one."""
        if self.scale != 1.0:
            array = array / self.scale
        if self.channel_order is not None:
            array = array[..., np.argsort(self.channel_order)]
        if self.axes is not None:
            array = np.transpose(array, np.argsort(self.axes))
        return np.reshape(array, self.shape)


def published_weights(
    model: keras.Model, without: Collection[keras.layers.Layer] = ()
) -> dict[str, PublishedWeight]:
    """The weights of an `AttentionResNet` by their published names.

    Args:
        model: A network of `AttentionResNet` with shuffle attention or without
            attention, with or without its top.
        without: Layers to leave out.

    Returns:
        The names in the order of the model's layers, such as
        `"layer1.0.conv1.weight"`.

    Raises:
        ValueError: If the model has a weight without a published name.
    """
    table = {}
    for layer in model.layers:
        if not layer.weights or layer in without:
            continue
        prefix = _published_prefix(layer.name)
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


def published_arrays(arrays: dict[str, StoredArray]) -> dict[str, StoredArray]:
    """The arrays of a Keras file by their published names and in published layout.

    The order of the channels is as it is in the file.

    Args:
        arrays: Arrays by layer name and position, such as `"conv1_bn/0"`.

    Returns:
        The arrays; those without a published name keep theirs.
    """
    return dict(_published_array(name, array) for name, array in arrays.items())


def _published_array(name, array):
    layer, _, position = name.rpartition("/")
    prefix = _published_prefix(layer)
    kind = next((kind for end, kind in KINDS.items() if layer.endswith(end)), None)
    if prefix is None or kind is None:
        return name, array
    published = [*VARIABLES[kind].values()][int(position)]
    axes, shape = _published_layout(array.shape, published)

    def load():
        value = array.load()
        if axes is not None:
            value = np.transpose(value, np.argsort(axes))
        return np.reshape(value, shape)

    return f"{prefix}.{published}", StoredArray(shape, array.dtype, load)


def _published_prefix(layer_name):
    if layer_name in LAYERS:
        return LAYERS[layer_name]
    place, part = layer_names.parse(layer_name) or (None, None)
    if place is None or place.block is None or part not in BLOCK_LAYERS:
        return None
    return f"layer{place.level - 1}.{place.block - 1}.{BLOCK_LAYERS[part]}"


def _entry(model, layer, variable, name):
    axes, shape = _published_layout(tuple(variable.shape), name)
    order = None
    if _is_shuffled(model, layer):
        order = shuffled_order(variable.shape[-1])
    return PublishedWeight(variable, axes, shape, order)


def _published_layout(shape, name):
    """The permutation of axes from the published layout, and the published shape."""
    axes = AXES.get(len(shape))
    if axes is not None:
        return axes, tuple(shape[axis] for axis in np.argsort(axes))
    if name in GATE_VARIABLES:
        return None, (1, *shape, 1, 1)
    return None, shape


def _is_shuffled(model, layer):
    found = layer_names.parse(layer.name)
    if found is None or not found[1].startswith(f"{layer_names.EXPAND}_"):
        return False
    name = found[0].layer(layer_names.ATTENTION)
    attention = next((a for a in model.layers if a.name == name), None)
    return isinstance(attention, ShuffleAttention) and attention.pre_shuffled
