"""What is replaced in layers, and what is read of them."""

from collections.abc import Callable
from contextlib import contextmanager

import keras

_ABSENT = object()


def layers_of(model: keras.Model, kind: type) -> list[keras.layers.Layer]:
    """All layers of a class, also those of nested models."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, kind)]


def operations_of(model: keras.Model) -> list:
    """All layers in a model, and the other operations of functional models."""
    found = {}
    for layer in model._flatten_layers(include_self=False):
        found[id(layer)] = layer
    for each in (model, *list(found.values())):
        if isinstance(each, keras.Function):
            found.update((id(o), o) for o in each.operations)
    return list(found.values())


@contextmanager
def replaced(replacements: list[tuple]):
    """Replaces attributes for a time, past Keras' tracking of them.

    Args:
        replacements: Tuples of an object, the attribute's name and its new value.
    """
    before = [
        (owner, name, vars(owner).get(name, _ABSENT)) for owner, name, _ in replacements
    ]
    try:
        for owner, name, value in replacements:
            vars(owner)[name] = value
        yield
    finally:
        for owner, name, value in before:
            if value is _ABSENT:
                vars(owner).pop(name, None)
            else:
                vars(owner)[name] = value


def activation_functions():
    """The module whose `softmax`, `sigmoid` and the like all of Keras calls."""
    from keras.src import backend

    return backend.nn


def source_of(tensor: keras.KerasTensor):
    """The layer or operation of which a symbolic tensor is the output."""
    return tensor._keras_history.operation


def set_moments(
    layer: keras.layers.BatchNormalization, moments: Callable | None
) -> None:
    """Replaces how a batch norm takes its batch's mean and variance.

    Args:
        layer: The layer.
        moments: A function of `(layer, inputs, variances=None)`, which returns mean
            and variance of shape `(channels,)`, or `None` to have Keras take them.
            With variances, the inputs are the means of maps, and the variances are
            those within the maps. `None` restores Keras' own.
    """
    layer.__dict__.pop("_moments", None)
    layer.__dict__.pop("batch_moments", None)
    if moments is None:
        return
    keras_moments = layer._moments
    if type(layer)._moments is not keras.layers.BatchNormalization._moments:
        raise ValueError(
            f"{type(layer).__name__} has its own batch statistics, which can't be "
            f"synchronised. Received: layer={layer.name!r}"
        )

    def masked_moments(inputs, mask):
        if mask is not None:
            raise ValueError(
                "Batch norms with a mask can't be trained with keras_sa.training. "
                f"Received: layer={layer.name!r}, mask={mask}"
            )
        return moments(layer, inputs) or keras_moments(inputs, None)

    object.__setattr__(layer, "_moments", masked_moments)
    # That of `keras_sa.layers.BatchNormalization`, which has the samples' moments.
    if hasattr(layer, "batch_moments"):
        own_moments = layer.batch_moments

        def batch_moments(means, variances):
            found = moments(layer, means, variances)
            return found or own_moments(means, variances)

        object.__setattr__(layer, "batch_moments", batch_moments)


def set_seeds(model: keras.Model, offset: Callable) -> None:
    """Moves the seeds that the model's random layers draw from.

    Args:
        model: A model with dropout, noise or augmentation in it.
        offset: A function without arguments that returns what is added to a seed.
    """
    for layer in layers_of(model, keras.layers.Layer):
        for generator in layer._seed_generators:
            generator.__dict__.pop("next", None)
            draw = generator.next

            def next_seed(ordered=True, draw=draw):
                seed = draw(ordered)
                return seed + keras.ops.cast([offset(), 0], seed.dtype)

            object.__setattr__(generator, "next", next_seed)


def reduction_axes(layer: keras.layers.BatchNormalization) -> list[int]:
    """The axes over which a batch norm takes its statistics."""
    return layer._reduction_axes


def layers_without_jit(model: keras.Model) -> list[str]:
    """Names of the layers that XLA can't compile."""
    return [layer.name for layer in model._flatten_layers() if not layer.supports_jit]
