"""Images that show a quantiser what a network will see."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from keras_sa.data.decoding import decode
from keras_sa.data.evaluation_image import evaluation_image
from keras_sa.data.sources.folder import SUFFIXES
from keras_sa.data.sources.folder import list_images
from keras_sa.serving.image_input import image_shape
from keras_sa.serving.image_input import normalization
from keras_sa.utils.evaluation_crop import CROP_RATIO
from keras_sa.utils.input_scaling import as_input
from keras_sa.utils.input_scaling import integer_type


class CalibrationImages:
    """The image files of a folder as a network sees them, in batches of one.

    Can be gone through more than once.

    Args:
        model: The network, which gives the size.
        folder: A folder that is searched with all folders in it.
        image_size: Height and width for networks of free size.
        normalize: A function of a float32 batch in 0..255 that gives the network's
            input. Defaults to ImageNet's normalisation, or to none for a network
            that does it by itself.
        crop_ratio: See `evaluation_crop`.
        max_images: How many images are taken at most, spread over the folder.

    Raises:
        ValueError: If there is no image, or, while it is gone through, one that
            can't be decoded.
    """

    def __init__(
        self,
        model: keras.Model,
        folder: str | Path,
        image_size: Sequence[int] | None = None,
        normalize: Callable[[np.ndarray], np.ndarray] | None = None,
        crop_ratio: float = CROP_RATIO,
        max_images: int = 300,
    ) -> None:
        (files,) = list_images([Path(folder)])
        if not files:
            raise ValueError(
                f"`folder` must hold images, one of {SUFFIXES}. "
                f"Received: folder={str(folder)!r}"
            )
        # Sorted files are sorted by class: the first ones alone would be one class.
        step = max(1, len(files) / max_images)
        self.files = [files[int(i * step)] for i in range(int(len(files) / step))]
        self.shape = image_shape(model, image_size)
        self.normalize = normalize or normalization(self.shape[-1], model=model)
        self.crop_ratio = crop_ratio

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[np.ndarray]:
        import tensorflow as tf

        for file in self.files:
            try:
                pixels = decode(file.read_bytes())
            except tf.errors.InvalidArgumentError as error:
                raise ValueError(
                    f"`folder` must hold images that can be decoded. Received: {file}"
                ) from error
            image = evaluation_image(pixels, self.shape, self.crop_ratio)
            yield np.asarray(self.normalize(image[tf.newaxis]))


def calibration_batches(
    model: keras.Model, calibration: Iterable[np.ndarray]
) -> list[np.ndarray]:
    """Batches that a quantiser may go through as often as it likes.

    Args:
        model: The network that is quantised.
        calibration: Batches of images as the network takes them.

    Returns:
        The batches as arrays of the type of the network's input.

    Raises:
        ValueError: If there is none, or something else among them.
    """
    shape, dtype = tuple(model.inputs[0].shape), model.inputs[0].dtype
    batches = []
    for batch in calibration:
        if isinstance(batch, tuple | list | dict):
            raise ValueError(
                "`calibration` must give batches of images alone, without labels. "
                f"Received: a {type(batch).__name__} of {len(batch)}"
            )
        batch = np.asarray(batch)
        fits = batch.ndim == len(shape) and all(
            length in (None, given)
            for length, given in zip(shape, batch.shape, strict=True)
        )
        if not fits or not len(batch):
            raise ValueError(
                f"`calibration` must give batches of the model's shape {shape}. "
                f"Received: a batch of the shape {batch.shape}"
            )
        batches.append(np.asarray(as_input(batch, integer_type(model)), dtype))
    if not batches:
        raise ValueError(
            "`calibration` must give at least one batch of images. Received: none; a "
            "generator gives its batches only once"
        )
    return batches
