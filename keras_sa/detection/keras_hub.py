"""KerasHub's RetinaNet on the pyramids of this package."""

import math
from typing import Any

import keras

PRIOR = 0.01
STDDEV = 0.01


def initialize_heads(detector: keras.Model, seed: int | None = None) -> None:
    """Gives the heads of a new RetinaNet of KerasHub the published initial values.

    KerasHub 0.32 puts the prior of the focal loss, the log odds of 0.01, on the box
    head instead of the class head, and draws kernels with a standard deviation of
    0.05 instead of 0.01. Every box then begins far from its anchor, every anchor
    takes part in every class with a probability of one half, and the detector may
    learn nothing. Call this before training, unless the heads were trained already.
    Save the detector before it is compiled: Keras can't restore an optimizer behind
    KerasHub's own `compile`.

    Args:
        detector: A `keras_hub.models.RetinaNetObjectDetector`.
        seed: Of the kernels. Defaults to Keras' global random state.

    Raises:
        ValueError: If the detector has no such heads.

    Example:

    ```python
    backbone = keras_hub.models.RetinaNetBackbone(
        image_encoder=feature_pyramid(SAResNet50(include_top=False)),
        min_level=3, max_level=7, use_p5=False,
    )
    detector = keras_hub.models.RetinaNetObjectDetector(
        backbone, num_classes=80, bounding_box_format="xyxy"
    )
    initialize_heads(detector)
    ```

    Reference:

    - [Focal Loss for Dense Object Detection](https://arxiv.org/abs/1708.02002)
      (Lin et al., ICCV 2017), section 4.1
    """
    heads: list[Any] = [
        getattr(detector, name, None) for name in ("box_head", "classification_head")
    ]
    if any(not hasattr(head, "prediction_layer") for head in heads):
        raise ValueError(
            "`detector` must be a `keras_hub.models.RetinaNetObjectDetector`, with "
            "`box_head` and `classification_head`. "
            f"Received: {type(detector).__name__}"
        )
    normal = keras.initializers.RandomNormal(
        stddev=STDDEV, seed=keras.random.SeedGenerator(seed)
    )
    for head, bias in zip(heads, (0.0, -math.log((1 - PRIOR) / PRIOR)), strict=True):
        for layer in (*head.conv_layers, head.prediction_layer):
            layer.kernel.assign(normal(layer.kernel.shape))
        head.prediction_layer.bias.assign([bias] * head.prediction_layer.filters)
