"""RetinaNet, Faster R-CNN and Mask R-CNN on SA-ResNets."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from keras_sa.applications.attention_resnet import BLOCKS
from keras_sa.applications.attention_resnet import AttentionResNet
from keras_sa.applications.stage_maps import feature_pyramid

BACKBONE = re.compile(r"(?:([a-z]+)_)?resnet(\d+)")
DOCSTRING = """Builds a {title} on an SA-ResNet, as in the SA-Net paper.

    The settings are the published ones. With 80 classes and `"sa_resnet50"` it has
    {parameters} weights, without the moving averages of its batch norms.

    It needs Keras' TensorFlow backend. Compile it without a loss, `compile(optimizer)`,
    and feed it as `keras_sa.detection` says. `predict` gives detections.

    Args:
        backbone: `"sa_resnet50"`, `"resnet101"`, `"se_resnet50"`..., or a network of
            `AttentionResNet` without its top and with the stem `"imagenet"`, or a
            `keras_sa.detection.PyramidBackbone`. A network's layers are shared.
        classes: Number of classes, without background.
        weights: `None`, or the path of a `.weights.h5` file that was saved from this
            detector with these arguments.
        backbone_weights: Where a backbone that is given by its name gets its
            weights, see `AttentionResNet`. `None` for random ones.
        image_size: Height and width of a backbone that is given by its name. Defaults
            to any.
        score_threshold: The score that a detection must exceed.
        nms_threshold: Of two detections of a class whose intersection over union is
            larger, the better one is kept.
        max_detections: The largest number of detections in an image.
        freeze: Whether the stem and the first stage are not trained and the batch
            norms stay in inference mode, as published for backbones that were trained
            on ImageNet. `False` for a backbone that begins at random.
        name: Name of the model.
        **options: Other settings, see `keras_sa.detection.{model}`; and base model
            keyword arguments.

    Returns:
        A `keras_sa.detection.{model}`, a `keras.Model`.

    Raises:
        ValueError: If an argument is out of its range or does not fit the others.
        RuntimeError: If Keras runs on another backend than TensorFlow.

    Example:

    >>> model = {function}(backbone_weights=None, classes=3)
    >>> model.compile(keras.optimizers.SGD(0.01, momentum=0.9))
    >>> images = np.zeros((1, 128, 160, 3), "float32")
    >>> model.predict(images, verbose=0)["boxes"].shape
    (1, 100, 4)
    """


def SARetinaNet(
    backbone: str | keras.Model = "sa_resnet50",
    classes: int = 80,
    weights: str | Path | None = None,
    backbone_weights: str | Path | None = "imagenet",
    image_size: Sequence[int] | None = None,
    score_threshold: float = 0.05,
    nms_threshold: float = 0.5,
    max_detections: int = 100,
    freeze: bool = True,
    name: str = "sa_retinanet",
    **options: Any,
) -> keras.Model:
    from keras_sa.detection.retinanet import RetinaNet

    model = RetinaNet(
        _backbone(backbone, backbone_weights, image_size, freeze),
        classes,
        score_threshold=score_threshold,
        nms_threshold=nms_threshold,
        max_detections=max_detections,
        train_batch_norms=not freeze,
        name=name,
        **options,
    )
    return _with_weights(model, weights)


def SAFasterRCNN(
    backbone: str | keras.Model = "sa_resnet50",
    classes: int = 80,
    weights: str | Path | None = None,
    backbone_weights: str | Path | None = "imagenet",
    image_size: Sequence[int] | None = None,
    score_threshold: float = 0.05,
    nms_threshold: float = 0.5,
    max_detections: int = 100,
    freeze: bool = True,
    name: str = "sa_faster_rcnn",
    **options: Any,
) -> keras.Model:
    from keras_sa.detection.rcnn import RCNN

    model = RCNN(
        _backbone(backbone, backbone_weights, image_size, freeze),
        classes,
        score_threshold=score_threshold,
        nms_threshold=nms_threshold,
        max_detections=max_detections,
        train_batch_norms=not freeze,
        name=name,
        **options,
    )
    return _with_weights(model, weights)


def SAMaskRCNN(
    backbone: str | keras.Model = "sa_resnet50",
    classes: int = 80,
    weights: str | Path | None = None,
    backbone_weights: str | Path | None = "imagenet",
    image_size: Sequence[int] | None = None,
    score_threshold: float = 0.05,
    nms_threshold: float = 0.5,
    max_detections: int = 100,
    freeze: bool = True,
    name: str = "sa_mask_rcnn",
    **options: Any,
) -> keras.Model:
    return SAFasterRCNN(
        backbone,
        classes,
        weights,
        backbone_weights,
        image_size,
        score_threshold,
        nms_threshold,
        max_detections,
        freeze,
        name,
        masks=True,
        **options,
    )


for _function, _title, _model, _parameters in (
    (SARetinaNet, "RetinaNet", "RetinaNet", "37,969,400"),
    (SAFasterRCNN, "Faster R-CNN", "RCNN", "41,753,764"),
    (SAMaskRCNN, "Mask R-CNN", "RCNN", "44,397,044"),
):
    _function.__doc__ = DOCSTRING.format(
        title=_title,
        model=_model,
        parameters=_parameters,
        function=_function.__name__,
    )


def _backbone(backbone, weights, image_size, freeze):
    """The pyramid of a network or of a name of one."""
    if isinstance(backbone, str):
        match = BACKBONE.fullmatch(backbone)
        if not match or int(match[2]) not in BLOCKS:
            raise ValueError(
                '`backbone` must be a `keras.Model` or a name such as "sa_resnet50" or '
                f'"resnet101", of the depths {list(BLOCKS)}. '
                f"Received: backbone={backbone!r}"
            )
        backbone = AttentionResNet(
            int(match[2]),
            match[1],
            include_top=False,
            weights=weights,
            input_shape=(*(image_size or (None, None)), 3),
            name=backbone,
        )
    elif image_size is not None:
        raise ValueError(
            "`image_size` is for a backbone that is given by its name. Received: "
            f"image_size={tuple(image_size)} and the model {backbone.name!r}"
        )
    if not hasattr(backbone, "pyramid_outputs"):
        backbone = feature_pyramid(backbone)
    if freeze:
        backbone.freeze()
    return backbone


def _with_weights(model, weights):
    if weights is not None:
        if not str(weights).endswith(".weights.h5"):
            raise ValueError(
                "`weights` must be None or a `.weights.h5` file; a whole `.keras` "
                "model is loaded by `keras.saving.load_model`. "
                f"Received: weights={str(weights)!r}"
            )
        model.load_weights(weights)
    return model
