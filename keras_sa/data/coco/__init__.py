"""Images with boxes and masks in COCO's format."""

from keras_sa.data.coco.shapes import Shapes
from keras_sa.data.coco.shapes import write_shapes

__all__ = ["Shapes", "write_shapes"]
