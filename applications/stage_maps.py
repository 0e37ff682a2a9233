"""The maps of a ResNet's stages, for detectors and segmentation networks."""

import keras

from keras_sa.utils.layer_names import level_of_output
from keras_sa.utils.pyramid_backbone import PyramidBackbone


def feature_pyramid(model: keras.Model) -> PyramidBackbone:
    """A model with the output of every stage of an `AttentionResNet`.

    The weights are shared with `model`.

    Args:
        model: A network of `AttentionResNet`, with or without its top.

    Returns:
        A `keras.Model` that maps the same input to `{"P2": ..., ..., "P5": ...}`, and
        has these tensors as `pyramid_outputs`.
        With the "imagenet" stem `Pn` has the stride `2**n`; with 224x224 images
        and the standard width the shapes are `(batch, 56, 56, 256)`,
        `(batch, 28, 28, 512)`, `(batch, 14, 14, 1024)` and `(batch, 7, 7, 2048)`.

    Raises:
        ValueError: If the model has no stages of `AttentionResNet`.

    Example:

    >>> backbone = SAResNet50(include_top=False, weights=None)
    >>> list(feature_pyramid(backbone).output)
    ['P2', 'P3', 'P4', 'P5']
    """
    outputs = {}
    for layer in model.layers:
        level = level_of_output(layer.name)
        if level is not None:
            # The layers are in the order of computation: the last one is kept.
            outputs[f"P{level}"] = layer.output
    if not outputs:
        raise ValueError(
            "`model` must be a network of `AttentionResNet`, whose stages end in "
            'layers such as "conv2_block3_out". If it is nested in another model, '
            "give the inner one. "
            f"Received: model={model.name!r} with {len(model.layers)} layers"
        )
    return PyramidBackbone(model.inputs, outputs, name=f"{model.name}_pyramid")
