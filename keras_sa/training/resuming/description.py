"""What a training consists of beside its variables."""

import dataclasses
import json

import keras

# What may change between two starts, and the names of objects.
LEFT_OUT = ("learning_rate", "name", "inner_optimizer")
# Of images with classes and of images with boxes.
OF_DATA = ("class_names", "num_examples", "sides")


def describe(model: keras.Model, data, batch_size, class_weight) -> dict:
    """What must be the same for a saved state to go on, as JSON has it.

    Args:
        model: A compiled model.
        data: What it is trained with. Of `keras_sa.data`'s, classes, number of
            examples and preparation are told.
        batch_size: The global batch, if known.
        class_weight: See `fit`.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    options = optimizer.get_config()
    preparation = getattr(data, "preparation", None)
    described = {
        "optimizer": {
            "class": type(optimizer).__name__,
            **{name: v for name, v in options.items() if name not in LEFT_OUT},
        },
        "loss": keras.tree.map_structure(_name, model.loss),
        "class_weight": class_weight,
        "batch_size": batch_size,
        "data": {
            **{name: getattr(data, name, None) for name in OF_DATA},
            "preparation": preparation and dataclasses.asdict(preparation),
        },
    }
    return json.loads(json.dumps(described, default=_name))


def _name(loss):
    if loss is None or isinstance(loss, str):
        return loss
    return getattr(loss, "name", None) or getattr(loss, "__name__", type(loss).__name__)
