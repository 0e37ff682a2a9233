"""Detection and instance segmentation: the parts, their data and their results.

Everything here runs on Keras' TensorFlow backend, channels last. The detectors are
built by `keras_sa.applications`: `SARetinaNet`, `SAFasterRCNN` and `SAMaskRCNN`. They
are used like any `keras.Model`: `compile(optimizer)` without a loss, then `fit`,
`evaluate` and `predict`.

**Batches** are `(images, targets)` of a `tf.data.Dataset`. Any batch size, image size
and number of objects may vary from batch to batch.

- `images`: float32 `(batch, height, width, 3)`, normalised as for the networks of
  `keras_sa.applications`, then padded with zeros at the bottom and at the right. The
  published padding is to a multiple of 32; the detectors take any size.
- `targets["boxes"]`: float32 `(batch, objects, 4)`, `x1, y1, x2, y2` in pixels of the
  padded image, where a pixel is a square of side 1 and the first one's corner is at 0.
  Rows of -1 pad images with fewer objects; an image without objects has only those.
- `targets["classes"]`: int32 `(batch, objects)`, from 0 to `classes - 1`, padded with
  -1. Category ids of a data set, which may have gaps, are mapped to and from these
  numbers where the data is read and where detections are evaluated.
- `targets["ignored"]`: bool `(batch, objects)`, optional: crowds. Such an object is
  never a target, and what lies in it is not trained to be background.
- `targets["image_size"]`: float32 `(batch, 2)`, optional: height and width of the
  image within the padding. Proposals are clipped to it in training.
- `targets["masks"]`: float32 `(batch, objects, m, m)` in 0..1, padded with -1, for
  `SAMaskRCNN`: each object's mask, cut out by its box and resized to `m x m` cells of
  equal size; `m` is 56 by default and at least 28.

**Predictions** are a dict, in descending order of the scores. With `detections` the
`max_detections` of the model, 100 by default:

- `"boxes"`: float32 `(batch, detections, 4)`, `x1, y1, x2, y2` in pixels of the padded
  input image, clipped to that.
- `"classes"`: int32 `(batch, detections)`, from 0 to `classes - 1`.
- `"scores"`: float32 `(batch, detections)`, at least `score_threshold`.
- `"count"`: int32 `(batch,)`, how many detections an image has. The rows behind are
  padding: zeros, with the class -1.
- `"masks"`, of `SAMaskRCNN`: float32 `(batch, detections, 28, 28)`, the probability
  that a cell of the box belongs to the object.

Padding counts in the statistics of attention and at the border of the image. Therefore
`evaluate` and exported detectors look at each image alone, with the padding that it
needs by itself; `predict` takes the batch as it is.
"""

import keras

from keras_sa.utils.pyramid_backbone import PyramidBackbone

__all__ = ["PyramidBackbone"]

# Other backends have the pyramid alone, and no need to import TensorFlow for it.
if keras.config.backend() == "tensorflow":
    from keras_sa.detection.evaluation.coco_callback import COCOMetrics  # noqa: F401
    from keras_sa.detection.evaluation.coco_evaluation import evaluate  # noqa: F401
    from keras_sa.detection.rcnn import RCNN  # noqa: F401
    from keras_sa.detection.retinanet import RetinaNet  # noqa: F401

    __all__ += ["COCOMetrics", "RCNN", "RetinaNet", "evaluate"]
