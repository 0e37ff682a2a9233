"""Reads single images with their objects."""

import re
import threading
import warnings

import numpy as np

from keras_sa.data.coco.annotations import Annotations
from keras_sa.data.coco.problems import Problems
from keras_sa.data.coco.segmentations import box_mask
from keras_sa.data.decoding import decode_stored
from keras_sa.data.decoding import decoder_message
from keras_sa.data.orientation import exif_orientation
from keras_sa.data.orientation import upright

UNUSABLE = "Can't use the image"


class Reader:
    """Decodes images and prepares their objects.

    Images are turned as their EXIF orientation says. What is annotated is the picture
    that a person sees; one whose height and width say otherwise can't be used.

    Args:
        annotations: The images and their objects.
        problems: Where images that can't be decoded are noted. Where they are
            skipped, a black image takes the place, all of it ignored.
        mask_size: Cells of the objects' masks along both axes, 0 for no masks.

    Attributes:
        unreadable: The indices of the images that can't be decoded, as far as they
            were met.
    """

    def __init__(self, annotations: Annotations, problems: Problems, mask_size: int):
        self.annotations = annotations
        self.problems = problems
        self.mask_size = mask_size
        self.unreadable: set[int] = set()
        self._lock = threading.Lock()
        self._said = False

    def read(self, index, payload):
        """One image, in a graph.

        Args:
            index: The image's index, an int64 scalar tensor.
            payload: The bytes of its file, a string scalar tensor.

        Returns:
            The image, uint8 `(height, width, 3)`, and the targets without
            `"image_size"`, in pixels of this image.
        """
        import tensorflow as tf

        size = self.mask_size
        image, boxes, classes, ignored, masks = tf.numpy_function(
            self._read,
            [index, payload, exif_orientation(payload)],
            (tf.uint8, tf.float32, tf.int32, tf.bool, tf.float32),
        )
        image.set_shape((None, None, 3))
        boxes.set_shape((None, 4))
        classes.set_shape((None,))
        ignored.set_shape((None,))
        targets = {"boxes": boxes, "classes": classes, "ignored": ignored}
        if size:
            masks.set_shape((None, size, size))
            targets["masks"] = masks
        return image, targets

    def _read(self, index, payload, orientation):
        described = self.annotations.images[index]
        shape = (described.height, described.width)
        objects = self.annotations.objects_of(index)
        image = self._decode(int(index), payload, int(orientation), described)
        if image is None:
            whole = np.array([[0, 0, *shape[::-1]]], "float32")
            mask = np.ones((1, self.mask_size, self.mask_size), "float32")
            nothing = np.zeros((*shape, 3), "uint8")
            return nothing, whole, np.zeros(1, "int32"), np.ones(1, "bool"), mask
        masks = np.zeros((len(objects), self.mask_size, self.mask_size), "float32")
        if self.mask_size and len(objects):
            for row, (segmentation, box) in enumerate(
                zip(objects.segmentations or (), objects.boxes, strict=True)
            ):
                masks[row] = box_mask(segmentation, box, *shape, self.mask_size)
        return image, objects.boxes, objects.classes, objects.crowds, masks

    def _decode(self, index, payload, orientation, described):
        import tensorflow as tf

        reason = None
        try:
            with tf.device("CPU:0"):
                image = decode_stored(tf.constant(payload))
                stored = tuple(image.shape[:2])
                image = upright(image, orientation).numpy()
        except tf.errors.OpError as error:
            reason = decoder_message(error)
        else:
            expected, seen = (described.height, described.width), image.shape[:2]
            if seen != expected:
                reason = (
                    f"the file has height and width {seen}, the annotations say "
                    f"{expected}"
                )
                if stored == expected:
                    reason += (
                        f": they are of the picture before its EXIF orientation "
                        f"{orientation} is applied; write it without"
                    )
            elif orientation > 1 and stored == seen:
                self._say_once(described, orientation)
        if reason is None:
            return image
        if not self.problems.skip:
            raise ValueError(f"{UNUSABLE} {described.name!r}: {reason}")
        with self._lock:
            if index not in self.unreadable:
                self.unreadable.add(index)
                self.problems.add("unreadable image", described.name, reason)
                self.problems.settle()
        return None

    def _say_once(self, described, orientation):
        """Where sizes don't tell which of the two pictures the boxes are of."""
        with self._lock:
            if not self._said:
                self._said = True
                warnings.warn(
                    f"{described.name!r} has the EXIF orientation {orientation}: its "
                    "boxes, and those of images like it, are taken to be of the "
                    "picture as a person sees it.",
                    stacklevel=2,
                )


def unusable_image(error: Exception) -> str | None:
    """What `Reader` said when it stopped the reading, without what `tf.data` added.

    Args:
        error: Any error.

    Returns:
        The message, or `None` if the error is another one.
    """
    found = re.search(f"^ValueError: ({UNUSABLE} .*)$", str(error), re.MULTILINE)
    return found and found.group(1)
