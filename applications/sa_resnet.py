"""SA-ResNet-50, -101 and -152 and what belongs to them, as in keras.applications."""

from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import keras

from keras_sa.applications.attention_resnet import AttentionResNet
from keras_sa.applications.imagenet_utils import decode_predictions
from keras_sa.applications.imagenet_utils import preprocess_input
from keras_sa.layers.tensor_types import Tensor

__all__ = [
    "SAResNet50",
    "SAResNet101",
    "SAResNet152",
    "decode_predictions",
    "preprocess_input",
]

DOCSTRING = """Instantiates the SA-ResNet-{depth} architecture.

    The network of the SA-Net paper: a ResNet-{depth} "v1.5" with shuffle attention
    in every bottleneck. With 1000 classes it has {parameters} trainable parameters.

    Note: inputs are RGB images normalised with the ImageNet mean and standard
    deviation. Call `keras_sa.applications.sa_resnet.preprocess_input` on images in
    0..255 first.

    Args:
        include_top: Whether to end with global average pooling and a dense layer.
        weights: `"imagenet"`: a start as exactly the function of the most accurate
            plain ResNet-{depth} that can be downloaded, trained on ImageNet; the
            attention begins as the identity and learns from there.
            `"sa_imagenet"`: the paper's weights, of which there are files for 50
            and 101 layers; install yours by `keras-sa convert FILE --install`.
            Also a name of `keras_sa.weights.WEIGHTS`, the path of a file that
            `keras_sa.weights.load_checkpoint` reads, or `None` for random
            initialisation.
        input_tensor: A Keras tensor to use as the network's input.
        input_shape: Shape without the batch axis, in the order of
            `keras.config.image_data_format()`. Height and width may be `None` or at
            least 32. Published weights are for 3 channels.
            Defaults to 224x224 RGB with the top and to free-size RGB without.
        pooling: Without the top: `None` for the last map, `"avg"` or `"max"` for a
            global pooling of it.
        classes: Number of classes. Used with the top only.
        classifier_activation: Activation of the dense layer. `None` gives logits.
        name: Name of the model.
        groups: Groups of the shuffle attention, published as 64.
        shuffle: Whether the attention shuffles the channels. `False` is the
            paper's SANet50B.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If an argument is out of its range or does not fit the others.
        ConnectionError: If the weights can't be downloaded.
        FileNotFoundError: If the paper's weights are not installed.
        ImportError: If reading the weights needs a package that is not installed.

    Example:

    >>> model = SAResNet{depth}(weights=None, classes=10)
    >>> model.output_shape
    (None, 10)

    Reference:

    - [SA-Net: Shuffle Attention for Deep Convolutional Neural Networks](
      https://arxiv.org/abs/2102.00240) (Zhang & Yang, ICASSP 2021)
    """


def _sa_resnet(depth: int, parameters: str):
    """The builder of the network with so many layers."""
    title = f"SAResNet{depth}"

    def build(
        include_top: bool = True,
        weights: str | Path | None = "imagenet",
        input_tensor: keras.KerasTensor | None = None,
        input_shape: Sequence[int | None] | None = None,
        pooling: Literal["avg", "max"] | None = None,
        classes: int = 1000,
        classifier_activation: str | Callable[[Tensor], Tensor] | None = "softmax",
        name: str = f"sa_resnet{depth}",
        *,
        groups: int = 64,
        shuffle: bool = True,
    ) -> keras.Model:
        return AttentionResNet(
            depth,
            "sa",
            include_top,
            weights,
            input_tensor,
            input_shape,
            pooling,
            classes,
            classifier_activation,
            name,
            attention_options={"groups": groups, "shuffle": shuffle},
        )

    build.__name__ = build.__qualname__ = title
    build.__doc__ = DOCSTRING.format(depth=depth, parameters=parameters)
    return build


SAResNet50 = _sa_resnet(50, "25,557,740")
SAResNet101 = _sa_resnet(101, "44,550,684")
SAResNet152 = _sa_resnet(152, "60,195,052")
