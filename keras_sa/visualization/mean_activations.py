"""How strongly each group of channels answers to each class, by depth."""

from collections.abc import Sequence

import keras
import numpy as np

from keras_sa.utils import layer_names
from keras_sa.visualization.group_masking import group_means
from keras_sa.visualization.heat_maps import channels_last
from keras_sa.visualization.recording import batches
from keras_sa.visualization.recording import distinct
from keras_sa.visualization.recording import image_batch
from keras_sa.visualization.recording import record
from keras_sa.visualization.recording import to_float32
from keras_sa.visualization.target_layer import find_target


def class_activations(
    model: keras.Model,
    images: np.ndarray,
    labels: Sequence[int],
    layers: Sequence[str | keras.layers.Layer] | None = None,
    groups: int = 64,
    *,
    batch_size: int = 32,
) -> dict[str, np.ndarray]:
    """The mean activation of groups of channels for each class, as in the paper.

    Args:
        model: Any model of images.
        images: A batch as the model takes it.
        labels: The class of each image, counted from 0.
        layers: Layers with maps, or their names. Defaults to the last block of every
            stage, `conv{stage}_block{n}_out` as in keras.applications.
        groups: Contiguous groups of channels. The layers' channels must be
            multiples of it.
        batch_size: How many images are computed at once.

    Returns:
        For every layer's name an array `(classes, groups)`: the mean over height,
        width, the group's channels and the class's images; NaN for classes without
        images. Another layer of the same name has `:2` and so on behind it.

    Raises:
        ValueError: If an argument is out of its range or a layer is not found.
    """
    images, labels = image_batch(model, images), np.asarray(labels)
    slices = list(batches(images, batch_size))
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"`labels` must hold one class index for each of the {len(images)} images. "
            f"Received: shape {labels.shape} of {labels.dtype}"
        )
    if labels.min() < 0:
        raise ValueError(
            f"`labels` are counted from 0. Received: labels from {labels.min()}"
        )
    probe = record(model, images[:1])
    targets = [
        find_target(probe, layer)
        for layer in (_stage_ends(probe) if layers is None else layers)
    ]
    operations = [target.operation for target in targets]
    formats = [probe.data_format(target) for target in targets]
    found: dict[str, list[np.ndarray]] = {
        name: [] for name in distinct(each.name for each in operations)
    }
    for part in slices:
        recording = record(model, images[part], operations)
        for name, operation, data_format in zip(
            found, operations, formats, strict=True
        ):
            maps = channels_last(
                to_float32(recording.of(operation).output), data_format
            )
            found[name].append(group_means(maps, groups).mean(axis=(1, 2)))
    return {
        name: _class_means(np.concatenate(values), labels)
        for name, values in found.items()
    }


def _stage_ends(recording):
    ends = {}
    for call in recording.calls:
        place, part = layer_names.parse(call.operation.name) or (None, None)
        if place is not None and part == layer_names.OUTPUT:
            ends[place.level] = call.operation
    if not ends:
        raise ValueError(
            "Say with `layers` what to look at: the model has no layers that are named "
            "as the blocks of ResNets, such as 'conv2_block3_out'. "
            "Received: layers=None"
        )
    return list(ends.values())


def _class_means(values, labels):
    means = np.full((labels.max() + 1, values.shape[1]), np.nan, "float32")
    for label in np.unique(labels):
        means[label] = values[labels == label].mean(axis=0)
    return means
