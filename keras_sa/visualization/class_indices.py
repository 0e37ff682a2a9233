"""The class that each image is looked at for."""

from collections.abc import Sequence

import numpy as np


def class_indices(
    class_index: int | Sequence[int] | None, scores: np.ndarray, images: slice
) -> np.ndarray:
    """One class for each image of a batch.

    Args:
        class_index: For all images, one for each of all images, or `None` for those
            with the highest scores.
        scores: The batch's logits or probabilities, `(batch, classes)`.
        images: Where the batch is among all images.

    Returns:
        An int64 array `(batch,)`.

    Raises:
        ValueError: If an index is out of range or there are not as many as images.
    """
    count, classes = scores.shape
    if class_index is None:
        return scores.argmax(axis=-1)
    indices = np.asarray(class_index)
    if indices.ndim:
        indices = indices[images]
    valid = np.issubdtype(indices.dtype, np.integer) and indices.shape in ((), (count,))
    if not valid or ((indices < 0) | (indices >= classes)).any():
        raise ValueError(
            f"`class_index` must be None, a class in 0..{classes - 1}, or one for each "
            f"image. Received: class_index={class_index}"
        )
    return np.broadcast_to(indices, (count,)).astype("int64")


def check_count(class_index: int | Sequence[int] | None, images: np.ndarray) -> None:
    """Refuses class indices that are not as many as the images.

    Raises:
        ValueError: If they are more or fewer.
    """
    if class_index is not None and np.ndim(class_index):
        if np.shape(class_index) != (len(images),):
            raise ValueError(
                f"`class_index` must hold one class for each of the {len(images)} "
                f"images. Received: shape {np.shape(class_index)}"
            )
