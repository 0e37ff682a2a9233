"""Trained networks to equivalent ones that run faster."""

from dataclasses import dataclass
from dataclasses import field

import keras

from keras_sa.serving.fusion.emitter import Emitter
from keras_sa.serving.fusion.graph import trace
from keras_sa.serving.fusion.rules import RULES


@dataclass
class FusionReport:
    """What became of the layers of a model.

    Args:
        batch_norms: Names of the batch norms that are in convolutions now.
        gates: Names of the shuffle attentions that are two half gates now.
        unchanged: Names of the layers that could have been in the way of something
            faster: batch norms and attentions that could not be folded, and layers
            that `fuse` does not know.
    """

    batch_norms: list[str] = field(default_factory=list)
    gates: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)

    def __str__(self):
        return "\n".join(
            [
                f"batch norms folded into convolutions: {len(self.batch_norms)}",
                f"shuffle attentions fused: {len(self.gates)}",
                f"left as they are: {', '.join(self.unchanged) or 'none'}",
            ]
        )


def fuse(
    model: keras.Model,
    return_report: bool = False,
    portable: bool = True,
    whole: bool = False,
) -> keras.Model | tuple[keras.Model, FusionReport]:
    """Builds an equivalent network for inference.

    - Batch norms are folded into the convolutions before them, also those of the
      shortcuts.
    - Shuffle attention becomes two gates, each on its half of the channels: the
      sigmoid is computed over the map only where a channel needs that. The two
      halves stay apart until something needs them together; the convolutions behind
      read both. A shuffle is built into the order of the weights.
    - `gamma` and `beta` of the attention are folded into its scale and shift, which
      are stored for every channel.
    - The mean of a 1x1 convolution's output is computed from its smaller input, where
      that is less work.
    - On TensorFlow, the addition of a block and its ReLU are parts of the convolution
      also in the half that its mean gates: `relu(g * x + y) = g * relu(x + y / g)`.
    - Paddings and activations become part of the convolutions.
    - What does something in training alone is left out: dropout, noise, augmentation.

    Everything else stays as it is. The outputs agree up to rounding.

    Args:
        model: A functional or built sequential model. It may be nested and have any
            head. It is not changed; nothing is shared with the result.
        return_report: Whether to return a `FusionReport` too.
        portable: Whether the result runs on every backend and can be written in every
            format. If not, it is faster, on TensorFlow alone.
        whole: Whether the two branches of an attention stay in one map, for
            TensorFlow on GPUs: halves save arithmetic, whole maps save kernels.

    Returns:
        A functional `keras.Model` with the same inputs and outputs; with
        `return_report=True` a tuple of it and the report.

    Raises:
        ValueError: If the model is not functional, or a layer can't be copied because
            its `get_config` is missing or incomplete.

    Example:

    >>> fused = fuse(SAResNet50(weights=None))
    >>> fused.output_shape
    (None, 1000)
    """
    report = FusionReport()
    fused = Emitter(trace(model), report, RULES, portable, whole).build()
    fused.trainable = False
    return (fused, report) if return_report else fused
