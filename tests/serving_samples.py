"""Small networks and image files that several tests share."""

import io

import keras
import numpy as np
from needed import needed

from keras_sa.applications import AttentionResNet

LABELS = [f"class {index}" for index in range(10)]


def randomize(model, seed=0, variances=(-0.1, 0.1)):
    """Weights and statistics as after training: nothing is 0 or 1 by chance.

    The running variances are ten to the power of a number in `variances`.
    """
    random = np.random.default_rng(seed)
    for layer in model.layers:
        # The variance comes before the gamma that is made to fit it.
        for weight in reversed(layer.weights):
            values = random.standard_normal(weight.shape)
            if weight.name == "moving_variance":
                values = 10 ** random.uniform(*variances, weight.shape)
            elif weight.name == "gamma":
                values = 1 + 0.1 * values
                if hasattr(layer, "moving_variance"):
                    # The activations stay of order one.
                    values *= 0.5 * np.sqrt(layer.moving_variance)
            elif weight.name == "kernel":
                values *= np.sqrt(2 / np.prod(weight.shape[:-1]))
            else:
                values *= 0.5 if "attention" in layer.name else 0.1
            weight.assign(values)
    return model


def small_network(attention="sa", **options):
    """A network with everything in it that runs in milliseconds."""
    if attention == "sa":
        options.setdefault("attention_options", {"groups": 4})
    return AttentionResNet(
        attention=attention,
        **{
            "blocks": (1, 1, 1, 1),
            "width": 16,
            "stem": "small",
            "input_shape": (32, 32, 3),
            "classes": 10,
            "weights": None,
            **options,
        },
    )


def photo(height=48, width=64, seed=0):
    """A smooth random RGB image, uint8."""
    noise = np.random.default_rng(seed).uniform(0, 255, (6, 6, 3)).astype("float32")
    image = keras.ops.image.resize(noise, (height, width), "bicubic")
    return np.asarray(image).clip(0, 255).round().astype("uint8")


def image_file(pixels, kind="PNG", **options):
    """The bytes of an image file, written by Pillow."""
    image = needed("PIL.Image")
    buffer = io.BytesIO()
    picture = pixels if hasattr(pixels, "save") else image.fromarray(pixels)
    picture.save(buffer, kind, **options)
    return buffer.getvalue()
