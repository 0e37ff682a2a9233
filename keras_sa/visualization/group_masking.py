"""What a network still recognises through the eyes of one group of channels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import keras
import numpy as np

from keras_sa.layers.shuffled_order import shuffled_order
from keras_sa.utils.input_scaling import neutral_pixel
from keras_sa.visualization.class_indices import check_count
from keras_sa.visualization.class_indices import class_indices
from keras_sa.visualization.heat_maps import channels_last
from keras_sa.visualization.heat_maps import image_size
from keras_sa.visualization.heat_maps import min_max
from keras_sa.visualization.heat_maps import resize_maps
from keras_sa.visualization.recording import batches
from keras_sa.visualization.recording import image_batch
from keras_sa.visualization.recording import record
from keras_sa.visualization.recording import to_float32
from keras_sa.visualization.target_layer import find_target


@dataclass(frozen=True)
class GroupScores:
    """The scores of images that are masked with the maps of groups of channels.

    Args:
        scores: The probability of the class, `(images, groups)`.
        hits: Whether the class is the most probable one (with a sigmoid: whether
            its probability is above one half), `(images, groups)`.
        class_index: The class of each image, `(images,)`.
        whole_scores: Like `scores`, of the images without a mask, `(images,)`.
        whole_hits: Like `hits`, of the images without a mask, `(images,)`.
    """

    scores: np.ndarray
    hits: np.ndarray
    class_index: np.ndarray
    whole_scores: np.ndarray
    whole_hits: np.ndarray

    @property
    def mean_score(self) -> np.ndarray:
        """The mean probability for each group, `(groups,)`."""
        return self.scores.mean(axis=0)

    @property
    def hit_rate(self) -> np.ndarray:
        """The share of images with a hit for each group, `(groups,)`."""
        return self.hits.mean(axis=0)


def group_scores(
    model: keras.Model,
    images: np.ndarray,
    layer: str | keras.layers.Layer | None = None,
    groups: int = 64,
    class_index: int | Sequence[int] | None = None,
    *,
    multi_label: bool = False,
    at: Literal["input", "output"] = "output",
    batch_size: int = 64,
) -> GroupScores:
    """The group scores of the SA-Net paper.

    The channels of a layer are cut into contiguous groups. The mean map of each is
    resized to the image and scaled to 0..1; the image, multiplied with it, goes
    through the network again, which says how much of the class is left. The paper's
    figure can be read in two ways, and both are here: the mean score and the hit
    rate.

    Args:
        model: Any classifier, as for `grad_cam`.
        images: A batch as the model takes it. A mask of 0 leaves what the network
            computes with as 0, as in the paper: of normalised images the mean colour,
            and so of images that the model normalises by itself.
        layer: As for `grad_cam`. With `at="output"` the blocks' outputs and the
            attentions of this package have the published order of channels; the
            convolution and the batch norm before a `ShuffleAttention` have not.
        groups: How many. The layer's channels must be a multiple of it.
        class_index: Usually the labels. Defaults to the class that each whole image
            is taken for; the hits then say how often the answer stays the same.
        multi_label: Whether logits of several classes need a sigmoid each, since an
            image may have several classes.
        at: With `"input"`, the layer's input: for an attention, the maps before it,
            in the published order also where they are stored shuffled.
        batch_size: How many masked images are computed at once.

    Returns:
        The scores.

    Raises:
        ValueError: If an argument is out of its range or the layer is not found.

    Example:

    ```python
    result = group_scores(model, images, class_index=labels)
    print(result.mean_score.mean(), result.hit_rate.mean())
    ```
    """
    if at not in ("input", "output"):
        raise ValueError(f'`at` must be "input" or "output". Received: at={at!r}')
    images = image_batch(model, images)
    slices = list(batches(images, max(1, batch_size // max(1, groups))))
    check_count(class_index, images)
    probe = record(model, images[:1])
    target = find_target(probe, layer)
    formats = probe.data_format(), probe.data_format(target)
    size = image_size(images, formats[0])
    neutral = neutral_pixel(model)

    found = []
    for part in slices:
        recording = record(model, images[part], [target.operation])
        call = recording.of(target.operation)
        maps = channels_last(
            to_float32(call.inputs if at == "input" else call.output), formats[1]
        )
        if at == "input":
            maps = published_order(maps, target.operation)
        masks = min_max(resize_maps(group_means(maps, groups), size))
        head = recording.head(multi_label)
        whole = head.probabilities(recording.output)
        chosen = class_indices(class_index, whole, part)
        masked = _masked(images[part], masks, formats[0], neutral)
        scores = _scores(model, image_batch(model, masked), head, batch_size)
        count = len(chosen)
        found.append(
            (
                *_read(
                    scores.reshape(count, groups, -1),
                    chosen[:, np.newaxis],
                    head.activation,
                ),
                chosen,
                *_read(whole, chosen, head.activation),
            )
        )
    return GroupScores(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def group_means(maps: np.ndarray, groups: int) -> np.ndarray:
    """The mean over the channels of each group.

    Args:
        maps: `(batch, height, width, channels)`.
        groups: How many contiguous groups.

    Returns:
        An array `(batch, height, width, groups)`.

    Raises:
        ValueError: If the channels are not a multiple of the groups.
    """
    channels = maps.shape[-1]
    if groups < 1 or channels % groups:
        fitting = [n for n in range(1, channels + 1) if channels % n == 0]
        raise ValueError(
            f"`groups` must divide the layer's {channels} channels, as {fitting} do. "
            f"Received: groups={groups}"
        )
    return maps.reshape(*maps.shape[:-1], groups, -1).mean(axis=-1)


def published_order(maps: np.ndarray, layer) -> np.ndarray:
    """An attention's input in the published order of channels.

    Args:
        maps: `(batch, height, width, channels)`.
        layer: The attention. A `ShuffleAttention(pre_shuffled=True)` takes its
            input in shuffled order; everything else is left as it is.
    """
    if getattr(layer, "pre_shuffled", False):
        return maps[..., np.argsort(shuffled_order(maps.shape[-1]))]
    return maps


def _masked(images, masks, data_format, neutral):
    """All images with all their masks, `(images * groups, ...)`."""
    masks = np.moveaxis(masks, -1, 1)
    axis = 2 if data_format == "channels_first" else -1
    difference = (images - neutral)[:, np.newaxis] * np.expand_dims(masks, axis)
    return (neutral + difference).reshape(-1, *images.shape[1:]).astype("float32")


def _scores(model, masked, head, batch_size):
    return np.concatenate(
        [
            head.probabilities(model.predict_on_batch(masked[part]))
            for part in batches(masked, batch_size)
        ]
    )


def _read(scores, chosen, activation):
    """The chosen class's scores and whether they are hits."""
    chosen = np.broadcast_to(chosen, scores.shape[:-1])
    own = np.take_along_axis(scores, chosen[..., np.newaxis], axis=-1)[..., 0]
    if activation == "sigmoid":
        return own, own > 0.5
    return own, scores.argmax(axis=-1) == chosen
