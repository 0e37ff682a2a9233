"""Images with boxes and masks in COCO's format."""

from keras_sa.data.coco.detection_data import DetectionData
from keras_sa.data.coco.detection_sets import load
from keras_sa.data.coco.shapes import Shapes
from keras_sa.data.coco.shapes import write_shapes

__all__ = ["DetectionData", "Shapes", "load", "write_shapes"]
