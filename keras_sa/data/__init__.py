"""Images for training and evaluation, as `tf.data`."""

from keras_sa.data.augmentation import Augmentation
from keras_sa.data.image_data import ImageData
from keras_sa.data.loading import load
from keras_sa.data.loading import open_source
from keras_sa.data.record_cache import write_cache
from keras_sa.data.sources.source import MissingSplitError
from keras_sa.data.sources.unlabelled_files import image_files

__all__ = [
    "Augmentation",
    "ImageData",
    "MissingSplitError",
    "image_files",
    "load",
    "open_source",
    "write_cache",
]
