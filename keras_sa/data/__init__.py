"""Images for training and evaluation, as `tf.data`."""

from keras_sa.data.augmentation import Augmentation
from keras_sa.data.image_data import ImageData
from keras_sa.data.loading import load

__all__ = ["Augmentation", "ImageData", "load"]
