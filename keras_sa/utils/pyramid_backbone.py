"""A backbone whose maps are known by their level."""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="keras_sa")
class PyramidBackbone(keras.Model):
    """A functional model with one output for each level of a pyramid.

    It is saved and loaded like any functional model and, unlike one, tells which
    tensor is which level afterwards too, which KerasHub's detectors ask for.

    Args:
        inputs: The input, a batch of images.
        outputs: A dict of levels to tensors, `{"P2": ..., ..., "P5": ...}`. `Pn` has
            the stride `2**n`.
        name: Name of the model.
        **kwargs: Base model keyword arguments.

    Raises:
        ValueError: If `outputs` is not such a dict.

    Example:

    >>> backbone = feature_pyramid(SAResNet50(include_top=False, weights=None))
    >>> list(backbone.pyramid_outputs)
    ['P2', 'P3', 'P4', 'P5']
    """

    # The arguments of a functional model, so that Keras rebuilds it as one.
    def __init__(
        self,
        inputs: keras.KerasTensor,
        outputs: dict[str, keras.KerasTensor],
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(outputs, dict) or not all(map(_is_level, outputs)):
            raise ValueError(
                '`outputs` must be a dict of levels to tensors, such as {"P2": ...}. '
                f"Received: outputs={outputs}"
            )
        super().__init__(inputs=inputs, outputs=outputs, name=name, **kwargs)

    @property
    def pyramid_outputs(self) -> dict[str, keras.KerasTensor]:
        """The symbolic output of every level."""
        return dict(self.output)

    def freeze(self, level: str = "P2") -> None:
        """Stops the training of all layers up to a level.

        Args:
            level: The last level that is frozen. `"P2"` are the stem and the first
                stage, as in the published detectors.

        Raises:
            ValueError: If there is no such level.
        """
        if level not in self.pyramid_outputs:
            raise ValueError(
                f"`level` must be one of {list(self.pyramid_outputs)}. "
                f"Received: level={level!r}"
            )
        for layer in keras.Model(self.inputs, self.pyramid_outputs[level]).layers:
            layer.trainable = False


def _is_level(name):
    return isinstance(name, str) and name[:1] == "P" and name[1:].isdigit()
