"""Image normalisation and class names of networks trained on ImageNet."""

from collections.abc import Sequence

import keras
import numpy as np

from keras_sa.layers.tensor_types import DataFormat
from keras_sa.layers.tensor_types import Tensor
from keras_sa.utils.normalization import scale_and_shift


def preprocess_input(x: Tensor, data_format: DataFormat | None = None) -> Tensor:
    """Normalises RGB images as the networks of this package expect them.

    `(x / 255 - mean) / std` with the ImageNet mean and standard deviation of each
    channel: the "torch" mode of keras.applications. The input is not changed.

    Args:
        x: A NumPy array or tensor of rank 3 or 4 with three channels, in 0..255, of
            a floating or integer type such as uint8.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.

    Returns:
        An array or tensor of the same kind and shape. Floating types are kept,
        integers become `keras.config.floatx()`.

    Raises:
        ValueError: If the data format is unknown, or the rank or channel count is
            wrong.
    """
    data_format = data_format or keras.config.image_data_format()
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(
            '`data_format` must be "channels_last", "channels_first" or None. '
            f"Received: data_format={data_format!r}"
        )
    if not hasattr(x, "shape") or not hasattr(x, "dtype"):
        x = np.asarray(x)
    rank = len(x.shape)
    axis = rank - 1 if data_format == "channels_last" else rank - 3
    if rank not in (3, 4) or x.shape[axis] not in (3, None):
        raise ValueError(
            "`x` must hold one RGB image or a batch of them, three channels in "
            f"{data_format} order. Received: shape={tuple(x.shape)}"
        )
    shape = (3,) if data_format == "channels_last" else (3, 1, 1)
    dtype = keras.backend.standardize_dtype(x.dtype)
    if "float" not in dtype:
        dtype = keras.config.floatx()
    scale, shift = (np.reshape(vector, shape) for vector in scale_and_shift())
    if isinstance(x, np.ndarray):
        return x.astype(dtype) * scale.astype(dtype) + shift.astype(dtype)
    return keras.ops.cast(x, dtype) * scale.astype(dtype) + shift.astype(dtype)


def decode_predictions(
    preds: np.ndarray,
    top: int = 5,
    class_names: Sequence[str] | None = None,
) -> list[list[tuple]]:
    """The most probable classes of every image of a batch.

    Args:
        preds: Scores of shape `(batch, classes)`.
        top: How many classes to return for an image, at most all.
        class_names: One name for each class, in the order of the scores. Nothing
            is downloaded then. By default the 1000 ImageNet classes, whose list
            Keras downloads once.

    Returns:
        For each image a list of `(class id, name, score)` in descending order of
        the score. The class id is ImageNet's, such as `"n02123045"`, or with
        `class_names` the class's index.

    Raises:
        ValueError: If the shape of `preds` does not fit the class list.
        ConnectionError: If the ImageNet list is needed and can't be downloaded.
    """
    preds = keras.ops.convert_to_numpy(preds)
    expected = 1000 if class_names is None else len(class_names)
    if preds.ndim != 2 or preds.shape[1] != expected:
        raise ValueError(
            f"`preds` must have the shape (batch, {expected})"
            + (
                "; for other classes than ImageNet's give `class_names`. "
                if class_names is None
                else ", one score for each of `class_names`. "
            )
            + f"Received: shape={preds.shape}"
        )
    if top < 1:
        raise ValueError(f"`top` must be at least 1. Received: top={top}")
    if class_names is None:
        return _decode_imagenet(preds, top)
    best = np.argsort(-preds, axis=1, kind="stable")[:, :top]
    return [
        [(int(i), class_names[i], float(scores[i])) for i in indices]
        for scores, indices in zip(preds, best, strict=True)
    ]


def _decode_imagenet(preds, top):
    # Imported here: this module pulls in more of Keras than the builders need.
    from keras.applications.imagenet_utils import decode_predictions as decode

    try:
        return decode(preds, top=min(top, preds.shape[1]))
    except Exception as error:
        if "fetch failure" not in str(error):
            raise
        raise ConnectionError(
            "The list of the ImageNet classes could not be downloaded. Copy "
            "`imagenet_class_index.json` to ~/.keras/models, or give `class_names`."
        ) from error
