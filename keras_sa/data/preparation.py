"""From one example of a source to the pixels that a network gets."""

import functools
from dataclasses import dataclass
from typing import cast

import numpy as np

from keras_sa.data import decoding
from keras_sa.data.augmentation import Augmentation
from keras_sa.data.evaluation_image import evaluation_image
from keras_sa.data.evaluation_image import with_channels
from keras_sa.data.rand_augment import apply_layer
from keras_sa.data.rand_augment import operations
from keras_sa.data.rand_augment import rand_augment
from keras_sa.data.random_crop import DRAWS
from keras_sa.data.random_crop import crop_shapes
from keras_sa.data.stateless_seeds import CROP
from keras_sa.data.stateless_seeds import LAYERS
from keras_sa.data.stateless_seeds import StatelessSeeds
from keras_sa.data.stateless_seeds import seed_for
from keras_sa.utils.evaluation_crop import check_crop_ratio
from keras_sa.utils.normalization import DEFAULT_MEAN
from keras_sa.utils.normalization import normalized


@dataclass(frozen=True)
class Preparation:
    """Decodes, crops, augments and normalises single images.

    Args:
        encoded: Whether images come as the bytes of files or as uint8 pixels.
        image_size: Height and width of the result.
        channels: 3 for RGB or 1 for grey; images of the other kind are converted.
        crop_ratio: See `evaluation_crop`.
        augmentation: `None` for evaluation.
        seed: Of the augmentation.
        mean: Of each channel, in 0..1; `None` for pixels in 0..255.
        std: Standard deviation of each channel.
    """

    encoded: bool
    image_size: tuple[int, int]
    channels: int
    crop_ratio: float
    augmentation: Augmentation | None
    seed: int
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None

    def __post_init__(self):
        check_crop_ratio(self.crop_ratio)
        # Keras' layers make a variable each, which can't be done inside a graph.
        if self.augmentation is not None and self.augmentation.rand_augment:
            _ = self._operations
        if self.augmentation is not None and self.augmentation.random_erasing:
            _ = self._erase

    @property
    def shape(self) -> tuple[int, int, int]:
        return (*self.image_size, self.channels)

    def draws(self, epoch, step, batch_size: int):
        """What is random in the crops of a global batch.

        Drawn for all images at once, because one call of the random number
        generator takes as long for a batch as for an image.

        Args:
            epoch: The epoch, an int64 scalar tensor.
            step: The step in it.
            batch_size: The global batch.

        Returns:
            A dict of float32 tensors with `batch_size` rows, to be passed to
            `__call__` row by row. Empty for evaluation.
        """
        import tensorflow as tf

        if self.augmentation is None:
            return {}
        draws = tf.random.stateless_uniform(
            (batch_size, DRAWS + 1),
            seed_for(CROP, self.seed, epoch, step),
            alg="philox",
        )
        result = {"flip": draws[:, DRAWS]}
        if self.augmentation.scale is not None:
            result["shapes"] = crop_shapes(
                draws, self.augmentation.scale, self.augmentation.ratio
            )
            result["position"] = draws[:, DRAWS - 2 : DRAWS]
        return result

    def __call__(self, payload, epoch, index, draws):
        """Prepares one image.

        Args:
            payload: A scalar string tensor or uint8 `(height, width, channels)`.
            epoch: The epoch, an int64 scalar tensor.
            index: The example's index.
            draws: The image's row of what `draws` returns.

        Returns:
            A float32 tensor `(*image_size, channels)`: normalised, or in 0..255.
        """
        import tensorflow as tf

        if self.augmentation is None:
            return self._normalized(self._whole(payload))
        if self.augmentation.scale is None:
            image = self._whole(payload)
        else:
            image = self._crop(
                payload, draws["shapes"], draws["position"], self.augmentation.ratio
            )
        if self.augmentation.flip:
            image = tf.cond(
                draws["flip"] < 0.5, lambda: tf.reverse(image, [1]), lambda: image
            )
        seed = seed_for(LAYERS, self.seed, epoch, index)
        if self.augmentation.rand_augment:
            image = rand_augment(
                image, seed, self._operations, self.augmentation.rand_augment
            )
        if self.augmentation.random_erasing:
            # The count sets these seeds apart from RandAugment's.
            seeds = StatelessSeeds(seed, count=1 << 12)
            image = self._erase(image[tf.newaxis], seeds)[0]
        return self._normalized(image)

    def shown(self, image: np.ndarray) -> np.ndarray:
        """A prepared image as a person sees it.

        Args:
            image: What `__call__` returned, as an array.

        Returns:
            float32 RGB in 0..1, `(*image_size, 3)`.
        """
        if self.mean is None:
            pixels = image / 255
        else:
            pixels = image * self.std + self.mean
        pixels = np.clip(pixels, 0, 1)
        return np.broadcast_to(pixels, (*self.image_size, 3)).astype("float32")

    def _crop(self, payload, shapes, position, ratio):
        crop = decoding.decode_training_crop if self.encoded else decoding.resized_crop
        image = crop(payload, shapes, position, self.image_size, ratio)
        return with_channels(image, self.channels)

    def _whole(self, payload):
        image = decoding.decode(payload) if self.encoded else payload
        return evaluation_image(image, self.shape, self.crop_ratio)

    def _normalized(self, image):
        if self.mean is None or self.std is None:
            return image
        return normalized(image, self.mean, self.std)

    @property
    def _fill(self):
        """What augmentation puts where there is no picture: 0 when normalised."""
        return [255.0 * mean for mean in self.mean or DEFAULT_MEAN[self.channels]]

    @functools.cached_property
    def _operations(self):
        return operations(
            cast(Augmentation, self.augmentation).rand_augment_magnitude, self._fill
        )

    @functools.cached_property
    def _erase(self):
        import keras

        # One number would be the upper end of a range of probabilities.
        probability = cast(Augmentation, self.augmentation).random_erasing
        return apply_layer(
            keras.layers.RandomErasing(
                factor=(probability, probability),
                fill_value=self._fill if self.channels == 3 else self._fill[0],
                value_range=(0, 255),
                dtype="float32",
            )
        )
