"""Labels that the model has no class for, in a sentence."""

import re
from contextlib import contextmanager

import keras

FOUND = re.compile(r"label value of (-?\d+) which is outside .*?\[0, (\d+)\)")


def check_classes(model: keras.Model, data) -> None:
    """Compares the classes of the data with those that the model tells apart.

    Args:
        model: With one output `(batch, classes)`, else nothing is compared.
        data: `keras_sa.data.ImageData`, or others that have `class_names`.

    Raises:
        ValueError: If the data has more.
    """
    names = getattr(data, "class_names", ())
    shape = getattr(model, "output_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 2 or shape[-1] in (1, None):
        # One output may stand for two classes.
        return
    if len(names) > shape[-1]:
        raise ValueError(
            f"The label {shape[-1]} is out of range: {model.name!r} tells "
            f"{shape[-1]} classes apart, and the data has {len(names)}: build the "
            f"model with {len(names)} classes, or check that this is its data."
        )


@contextmanager
def labels_in_range(model: keras.Model, data):
    """Tells of a label that is out of range what TensorFlow's error hides.

    On GPUs TensorFlow makes no error of it but a loss that is no number.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        found = FOUND.search(str(error))
        if found is None:
            raise
        label, classes = found.groups()
        names = getattr(data, "class_names", ())
        of_data = f", and the data has {len(names)}" if names else ""
        raise ValueError(
            f"The label {label} is out of range: {model.name!r} tells {classes} "
            f"classes apart{of_data}, so that labels must be in 0..{int(classes) - 1}."
        ) from error
