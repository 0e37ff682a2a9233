"""The functions of an exported model, as TF Serving calls them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from keras_sa.data.evaluation_image import evaluation_image
from keras_sa.serving.saved_model.limits import ImageLimits
from keras_sa.serving.saved_model.untrusted_files import decode_valid
from keras_sa.utils.evaluation_crop import CROP_RATIO
from keras_sa.utils.input_scaling import as_input
from keras_sa.utils.input_scaling import integer_type


@dataclass(frozen=True)
class ServingOptions:
    """What the signatures do around the network.

    Args:
        preprocess: A function of a float32 batch `(batch, height, width, channels)`
            in 0..255 that gives the network's input.
        image_shape: Height, width and channels of the images.
        top_k: How many classes are returned for an image.
        labels_file: A text file with one label a line.
        activation: What belongs behind the network, `"softmax"`, `"sigmoid"` or
            `None`.
        limits: What an image file may cost.
        crop_ratio: See `evaluation_crop`.
    """

    preprocess: Callable
    image_shape: tuple[int, int, int]
    top_k: int
    labels_file: Path
    activation: str | None = None
    limits: ImageLimits = ImageLimits()
    crop_ratio: float = CROP_RATIO


class ServingModule(tf.Module):
    """Holds the labels and one function for each signature.

    The weights are constants of the graph, stored once: oneDNN brings them into its
    own layout a single time, where it would do so with variables at every call.

    Args:
        network: A `keras.Model` with the outputs `[features, predictions]`.
        options: What is done around it.
    """

    def __init__(self, network: keras.Model, options: ServingOptions):
        super().__init__(name="keras_sa_serving")
        self._options = options
        # One function for all signatures: its graph is saved once. The network is
        # not an attribute, or Keras' own bookkeeping would be saved with it.
        images = tf.TensorSpec((None, *options.image_shape), tf.float32)
        self._run = tf.function(_runner(network, options), input_signature=[images])
        self.labels = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                str(options.labels_file),
                key_dtype=tf.int64,
                key_index=tf.lookup.TextFileIndex.LINE_NUMBER,
                value_dtype=tf.string,
                value_index=tf.lookup.TextFileIndex.WHOLE_LINE,
            ),
            default_value="",
        )

    def serving_signatures(self) -> dict:
        """Every signature by its name in the SavedModel."""
        height, width, channels = self._options.image_shape
        files = tf.TensorSpec((None,), tf.string, "image_bytes")
        shape = (None, height, width, channels)
        images = tf.TensorSpec(shape, tf.float32, "images")
        pixels = tf.TensorSpec(shape, tf.uint8, "images")
        predict_bytes = tf.function(self.predict_bytes, input_signature=[files])
        return {
            "serving_default": predict_bytes,
            "predict_bytes": predict_bytes,
            "predict_images": tf.function(
                self.predict_images, input_signature=[images]
            ),
            "predict_images_uint8": tf.function(
                self.predict_images, input_signature=[pixels]
            ),
            "features": tf.function(self.features, input_signature=[files]),
        }

    def predict_bytes(self, image_bytes):
        """Image files to predictions, each with a `valid` flag."""
        count = tf.size(image_bytes, out_type=tf.int64)
        images, indices = self._decode(image_bytes)
        _, probabilities = self._run(images)
        probabilities, valid = scatter(probabilities, indices, count)
        return {**self._predictions(probabilities, valid), "valid": valid}

    def predict_images(self, images):
        """Decoded and cropped images in 0..255 to predictions."""
        count = tf.shape(images, out_type=tf.int64)[0]
        # oneDNN's convolutions give a wrong shape for an empty batch.
        padding = [[0, tf.cast(count == 0, tf.int32)], [0, 0], [0, 0], [0, 0]]
        _, probabilities = self._run(tf.cast(tf.pad(images, padding), tf.float32))
        probabilities = probabilities[:count]
        return self._predictions(probabilities, tf.fill([count], True))

    def features(self, image_bytes):
        """Image files to embeddings, each with a `valid` flag."""
        count = tf.size(image_bytes, out_type=tf.int64)
        images, indices = self._decode(image_bytes)
        features, _ = self._run(images)
        features, valid = scatter(features, indices, count)
        return {"features": features, "valid": valid}

    def _decode(self, image_bytes):
        options = self._options
        shape = options.image_shape

        def prepared(pixels):
            return evaluation_image(pixels, shape, options.crop_ratio)

        return decode_valid(image_bytes, prepared, shape, options.limits)

    def _predictions(self, probabilities, valid):
        scores, classes = tf.math.top_k(probabilities, k=self._options.top_k)
        labels = self.labels.lookup(tf.cast(classes, tf.int64))
        there = valid[:, tf.newaxis]
        return {
            "probabilities": probabilities,
            "classes": tf.where(there, classes, 0),
            "scores": scores,
            "labels": tf.where(there, labels, ""),
        }


def _runner(network, options):
    weights = [(v, keras.ops.convert_to_numpy(v)) for v in network.weights]

    def run(images):
        # Padding an empty batch has made the shape unknown to the graph's optimiser,
        # which then fuses no additions into convolutions.
        images = tf.ensure_shape(images, (None, *options.image_shape))
        with keras.StatelessScope([(v, tf.constant(array)) for v, array in weights]):
            inputs = as_input(options.preprocess(images), integer_type(network))
            features, outputs = network(inputs, training=False)
        outputs = tf.cast(outputs, tf.float32)
        if options.activation is not None:
            outputs = getattr(tf.nn, options.activation)(outputs)
        return tf.cast(features, tf.float32), outputs

    return run


def scatter(rows, indices, count):
    """The rows at their indices among `count` rows of zeros; -1 is left out."""
    indices = indices[:, tf.newaxis]
    shape = tf.concat([count[tf.newaxis] + 1, tf.shape(rows, tf.int64)[1:]], 0)
    # The index -1 means the row behind the end, which is cut off.
    indices = tf.where(indices < 0, count, indices)
    valid = tf.scatter_nd(indices, tf.ones_like(indices[:, 0]), shape[:1]) > 0
    scattered = tf.scatter_nd(indices, rows, shape)[:count]
    scattered.set_shape((None, *rows.shape[1:]))
    return scattered, valid[:count]
