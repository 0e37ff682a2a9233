"""The functions of an exported detector, as TF Serving calls them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from keras_sa.detection.boxes import have_area
from keras_sa.serving.saved_model.limits import ImageLimits
from keras_sa.serving.saved_model.signatures import scatter
from keras_sa.serving.saved_model.untrusted_files import decode_valid
from keras_sa.utils.resize_within import padded_size
from keras_sa.utils.resize_within import resize_within


@dataclass(frozen=True)
class DetectorOptions:
    """What the signatures do around the detector.

    Args:
        preprocess: A function of a float32 batch `(batch, height, width, 3)` in
            0..255 that gives the detector's input.
        sides: Length of the short side of resized files, and at most of the long one.
        labels_file: A text file with one label a line.
        limits: What an image file may cost.
    """

    preprocess: Callable
    sides: tuple[int, int]
    labels_file: Path
    limits: ImageLimits = ImageLimits()


class DetectorModule(tf.Module):
    """Holds the variables, the labels and one function for each signature.

    Args:
        detector: A detector of `keras_sa.applications`.
        options: What is done around it.
    """

    def __init__(self, detector: keras.Model, options: DetectorOptions):
        super().__init__(name="keras_sa_detector")
        self._options = options
        images = tf.TensorSpec((None, None, None, 3), tf.float32)

        def run(images):
            # The class's, whatever prepares the model for a strategy.
            return type(detector).predict_step(detector, (images,))

        self._run = tf.function(run, input_signature=[images])
        self.network_variables = [weight.value for weight in detector.weights]
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
        files = tf.TensorSpec((None,), tf.string, "image_bytes")
        shape = (None, None, None, 3)
        images = tf.TensorSpec(shape, tf.float32, "images")
        pixels = tf.TensorSpec(shape, tf.uint8, "images")
        detect_bytes = tf.function(self.predict_bytes, input_signature=[files])
        return {
            "serving_default": detect_bytes,
            "predict_bytes": detect_bytes,
            "predict_images": tf.function(
                self.predict_images, input_signature=[images]
            ),
            "predict_images_uint8": tf.function(
                self.predict_images, input_signature=[pixels]
            ),
        }

    def predict_bytes(self, image_bytes):
        """Image files to detections in their pixels, each with a `valid` flag."""
        count = tf.size(image_bytes, out_type=tf.int64)
        side = self._canvas_side
        # One vector an image: its two sizes, then its pixels on a square canvas.
        rows, indices = decode_valid(
            image_bytes,
            self._placed,
            (4 + side * side * 3,),
            self._options.limits,
        )

        def detect(row):
            before, after = row[:2], row[2:4]
            # Where no file is valid there is one row, of zeros.
            size = tf.maximum(tf.cast(after, tf.int32), 1)
            canvas = tf.reshape(row[4:], (1, side, side, 3))
            image = self._options.preprocess(canvas[:, : size[0], : size[1]])
            below, right = tf.unstack(padded_size(size) - size)
            found = self._run(tf.pad(image, [[0, 0], [0, below], [0, right], [0, 0]]))
            # From the resized image to the file's.
            limits = tf.tile(after[::-1], [2])
            factor = tf.tile(tf.math.divide_no_nan(before, after)[::-1], [2])
            boxes = tf.clip_by_value(found["boxes"], 0.0, limits) * factor
            return _with_area({**found, "boxes": boxes})

        found = self._each(detect, rows)
        valid = None
        for name in found:
            found[name], valid = scatter(found[name], indices, count)
        return self._answer(found, valid)

    def predict_images(self, images):
        """Images in 0..255 to detections in their pixels, without resizing."""
        count = tf.shape(images)[0]
        # oneDNN's convolutions give a wrong shape for an empty batch.
        padding = [[0, tf.cast(count == 0, tf.int32)], [0, 0], [0, 0], [0, 0]]
        images = tf.cast(tf.pad(images, padding), tf.float32)
        images = self._options.preprocess(images)
        found = self._each(lambda image: self._run(image[tf.newaxis]), images)
        found = {name: value[:count] for name, value in found.items()}
        return self._answer(found, tf.fill([count], True))

    def _each(self, detect, rows):
        """The detections of each row, by a function that gives them as a batch of one.

        Together, images would need the padding of the largest one, which counts in
        their statistics and borders; and boxes of nearly equal scores change places
        where a batch is summed up in another order. So each is looked at alone: an
        answer is the same whoever else asks.
        """
        outputs = self._run.get_concrete_function().structured_outputs
        return tf.map_fn(
            lambda row: {name: value[0] for name, value in detect(row).items()},
            rows,
            fn_output_signature={
                name: tf.TensorSpec(value.shape[1:], value.dtype)
                for name, value in outputs.items()
            },
            # Each one uses all processors.
            parallel_iterations=1,
        )

    @property
    def _canvas_side(self):
        return padded_size(self._options.sides[1])

    def _placed(self, pixels):
        short_side, long_side = self._options.sides
        image = resize_within(pixels, short_side, long_side)
        size = tf.shape(image)[:2]
        below, right = tf.unstack(self._canvas_side - size)
        image = tf.pad(image, [[0, below], [0, right], [0, 0]])
        sizes = tf.concat([tf.shape(pixels)[:2], size], 0)
        return tf.concat([tf.cast(sizes, tf.float32), tf.reshape(image, [-1])], 0)

    def _answer(self, found, valid):
        rows = tf.range(tf.shape(found["scores"])[1])
        classes = tf.where(rows < found["count"][:, tf.newaxis], found["classes"], -1)
        labels = self.labels.lookup(tf.cast(classes, tf.int64))
        return {**found, "classes": classes, "labels": labels, "valid": valid}


def _with_area(found):
    """The detections whose boxes have an area, in their order, then zeros."""
    rows = tf.range(tf.shape(found["scores"])[1])
    kept = have_area(found["boxes"]) & (rows < found["count"][:, tf.newaxis])
    order = tf.argsort(tf.cast(~kept, tf.int32), axis=1, stable=True)
    count = tf.reduce_sum(tf.cast(kept, tf.int32), 1)
    there = rows < count[:, tf.newaxis]

    def moved(values):
        values = tf.gather(values, order, batch_dims=1)
        shape = tf.concat(
            [tf.shape(there), tf.ones([values.shape.rank - 2], tf.int32)], 0
        )
        return values * tf.cast(tf.reshape(there, shape), values.dtype)

    return {name: moved(v) for name, v in found.items() if name != "count"} | {
        "count": count
    }
