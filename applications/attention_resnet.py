"""ResNets with an attention layer in every bottleneck, chosen by name."""

import functools
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import Literal

import keras

from keras_sa.applications.input_shape import standardize_input_shape
from keras_sa.applications.pretrained import check_weights
from keras_sa.applications.resnet_layers import STEMS
from keras_sa.applications.resnet_layers import bottleneck
from keras_sa.applications.resnet_layers import channel_axis
from keras_sa.layers import BatchNormalization
from keras_sa.layers import ShuffleAttention
from keras_sa.layers import get_attention
from keras_sa.layers.tensor_types import Tensor
from keras_sa.utils import layer_names
from keras_sa.utils.layer_names import Place

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
EXPANSION = 4
# `blocks`, `width`, `bottleneck_width` and `stem` of the published networks.
STANDARD = (None, 64, 64, "imagenet")
# Options of the released networks that differ from the layers' defaults, by depth.
# A list has one value for each stage.
RELEASED_OPTIONS: dict[str | None, dict[int, dict[str, list[int]]]] = {
    "eca": {
        50: {"kernel_size": [3, 5, 5, 7]},
        101: {"kernel_size": [3, 3, 5, 7]},
        152: {"kernel_size": [3, 3, 5, 7]},
    }
}
POOLING = {
    "avg": keras.layers.GlobalAveragePooling2D,
    "max": keras.layers.GlobalMaxPooling2D,
}


def AttentionResNet(
    depth: int = 50,
    attention: str | None = "sa",
    include_top: bool = True,
    weights: str | Path | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Tensor], Tensor] | None = "softmax",
    name: str | None = None,
    *,
    attention_options: dict[str, Any] | None = None,
    blocks: Sequence[int] | None = None,
    width: int = 64,
    bottleneck_width: int | None = None,
    stem: Literal["imagenet", "small"] = "imagenet",
) -> keras.Model:
    """Builds a ResNet "v1.5" with an attention layer in every bottleneck.

    The stride is in the 3x3 convolution, convolutions have no bias, padding is
    symmetric, batch norms have epsilon 1e-5 and momentum 0.9: the network of the
    SA-Net paper and of PyTorch's `resnet50`, not of `keras.applications.ResNet50`.
    The attention sits after the last batch norm and before the addition; "bam" once
    after each stage but the last.

    Args:
        depth: 50, 101 or 152. Ignored when `blocks` is given.
        attention: A name of `keras_sa.layers.attention_names()`, or `None` for the
            ResNet without attention.
        include_top: Whether to end with global average pooling and a dense layer.
        weights: `None` for random initialisation, the path of a file that
            `keras_sa.weights.load_checkpoint` reads, or a name of
            `keras_sa.weights.WEIGHTS`; `"imagenet"` is the best plain ResNet and
            `"sa_imagenet"` the paper's weights, see `SAResNet50`. A plain ResNet's
            weights need an attention that begins as the identity up to a factor,
            as shuffle attention does, or `attention=None`.
        input_tensor: A Keras tensor to use as the network's input.
        input_shape: Shape without the batch axis, in the order of
            `keras.config.image_data_format()`. Height and width may be `None`.
            Defaults to 224x224 RGB with the top and to free-size RGB without.
        pooling: Without the top: `None` for the last map, `"avg"` or `"max"` for a
            global pooling of it.
        classes: Number of classes, at least 1. Used with the top only.
        classifier_activation: Activation of the dense layer. `None` gives logits.
        name: Name of the model.
        attention_options: Keyword arguments of the attention layers. A list or tuple
            gives one value for each stage. For "eca" at the published depths the
            kernel sizes default to those of the released networks.
        blocks: Number of bottlenecks in each stage.
        width: Channels after the stem; the stages' bottlenecks have 1, 2, 4 and 8
            times as many inside and four times those outside.
        bottleneck_width: If given, the inner channels of the first stage; the
            outer channels stay those of `width`.
        stem: `"imagenet"`: 7x7 stride 2 and max-pooling stride 2. `"small"`: 3x3
            stride 1 and no pooling, for images under 64 pixels.

    Returns:
        A functional `keras.Model` with the input `images`. It takes normalised
        images, see `sa_resnet.preprocess_input`.

    Raises:
        ValueError: If an argument is out of its range or does not fit the others.

    Reference:

    - [Deep Residual Learning for Image Recognition](
      https://arxiv.org/abs/1512.03385) (He et al., CVPR 2016)
    """
    standard = (blocks, width, bottleneck_width or width, stem) == STANDARD
    attention_options = dict(attention_options or {})
    if blocks is None:
        if depth not in BLOCKS:
            raise ValueError(
                f"`depth` must be one of {list(BLOCKS)}, or give `blocks`. "
                f"Received: depth={depth!r}"
            )
        blocks = BLOCKS[depth]
        released = RELEASED_OPTIONS.get(attention, {}).get(depth, {})
        attention_options = {**released, **attention_options}
    else:
        depth = 2 + 3 * sum(blocks)
    if not blocks or min(blocks) < 1:
        raise ValueError(
            "`blocks` must hold at least one block for each stage. "
            f"Received: blocks={tuple(blocks)}"
        )
    if stem not in STEMS:
        raise ValueError(
            f"`stem` must be one of {list(STEMS)}. Received: stem={stem!r}"
        )
    if pooling is not None and pooling not in POOLING:
        raise ValueError(
            f"`pooling` must be None or one of {list(POOLING)}. "
            f"Received: pooling={pooling!r}"
        )
    if include_top and classes < 1:
        raise ValueError(f"`classes` must be at least 1. Received: classes={classes}")
    if attention is None and attention_options:
        raise ValueError(
            "`attention_options` need an attention. "
            f"Received: attention=None, attention_options={attention_options}"
        )
    stem = STEMS[stem]
    images = _image_input(input_tensor, input_shape, include_top, stem)
    attend = _attention(attention, attention_options, len(blocks))
    check_weights(
        weights,
        depth,
        standard=standard,
        channels=images.shape[channel_axis()],
        classes=classes if include_top else None,
        classifier_activation=classifier_activation,
        attention=attention,
        attention_options=attention_options,
    )

    x = stem.build(images, width)
    inner = bottleneck_width or width
    for stage, count in enumerate(blocks):
        level = layer_names.FIRST_LEVEL + stage
        for block in range(count):
            x = bottleneck(
                x,
                inner * 2**stage,
                EXPANSION * width * 2**stage,
                stride=2 if stage > 0 and block == 0 else 1,
                project=block == 0,
                attend=functools.partial(attend, stage),
                last_norm=_last_norm(attention),
                place=Place(level, block + 1),
            )
        if stage + 1 < len(blocks):
            name_of_attention = Place(level).layer(layer_names.ATTENTION)
            x = attend(stage, x, "stage", name=name_of_attention)

    if include_top:
        x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = keras.layers.Dense(
            classes,
            activation=classifier_activation,
            # Under a mixed policy the softmax stays in float32.
            dtype=keras.config.dtype_policy().variable_dtype,
            name=layer_names.HEAD,
        )(x)
    elif pooling is not None:
        x = POOLING[pooling](name=f"{pooling}_pool")(x)

    inputs = (
        images if input_tensor is None else keras.utils.get_source_inputs(input_tensor)
    )
    model = keras.Model(inputs, x, name=name or _default_name(attention, depth))
    if weights is not None:
        from keras_sa.weights import initialize_weights

        initialize_weights(model, weights, depth, include_top)
    return model


def _default_name(attention, depth):
    return f"{attention}_resnet{depth}" if attention else f"resnet{depth}"


def _image_input(input_tensor, input_shape, include_top, stem):
    if input_tensor is None:
        shape = standardize_input_shape(
            input_shape,
            default_size=224 if include_top else None,
            min_size=stem.min_size,
        )
        return keras.Input(shape=shape, name="images")
    if not keras.utils.is_keras_tensor(input_tensor):
        raise ValueError(
            "`input_tensor` must be a Keras tensor, such as `keras.Input(...)` or "
            f"the output of a layer. Received: {type(input_tensor)}"
        )
    return input_tensor


def _attention(name, options, stages):
    """A function that adds the attention where it belongs, or nothing."""
    if name is None:
        return lambda stage, x, placement, name: x
    attention = get_attention(name)
    if attention.layer is ShuffleAttention:
        # conv3 and bn3 are stored in shuffled order, so no map has to be shuffled.
        options = {"pre_shuffled": options.get("shuffle", True), **options}
    for option, value in options.items():
        if isinstance(value, (list, tuple)) and len(value) != stages:
            raise ValueError(
                f"A list in `attention_options` must have one value for each of the "
                f"{stages} stages. Received: {option}={value}"
            )

    def attend(stage, x, placement, name):
        if placement != attention.placement:
            return x
        own = {
            option: value[stage] if isinstance(value, (list, tuple)) else value
            for option, value in options.items()
        }
        return attention.layer(name=name, **own)(x)

    return attend


def _last_norm(name):
    """The class of the batch norms in front of the attention."""
    if name is not None and issubclass(get_attention(name).layer, ShuffleAttention):
        return BatchNormalization
    return keras.layers.BatchNormalization
