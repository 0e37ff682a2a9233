"""What `keras-sa figures` measures at a network, and its numbers."""

import itertools
from typing import Literal

import numpy as np

from keras_sa.utils import layer_names
from keras_sa.utils.layer_names import Place

SCORED_IMAGES = 20  # of each class, masked with every group
SEEN_IMAGES = 100  # of each class, for activations and Grad-CAM
GROUPS = 64
LAST_BLOCK = Place(level=5, block=1)
# Where group scores are read: which layer, and its input or output.
PLACES: dict[str, tuple[str, Literal["input", "output"]]] = {
    "before": (LAST_BLOCK.layer(layer_names.ATTENTION), "input"),
    "after": (LAST_BLOCK.layer(layer_names.ATTENTION), "output"),
    "block": (LAST_BLOCK.layer(layer_names.OUTPUT), "output"),
}
PLACE_NAMES = {
    "before": "before the last attention",
    "after": "after the last attention",
    "block": "at the last block's output",
}


def measure(model, test) -> dict[str, np.ndarray]:
    """Everything the figures need of one network.

    Args:
        model: A trained network of `keras-sa figures`.
        test: The `ImageData` of the test images.

    Returns:
        Arrays by name, each fit for `numpy.savez`.
    """
    from keras_sa.visualization import class_activations
    from keras_sa.visualization import grad_cam
    from keras_sa.visualization import group_scores

    images, labels = _all(test)
    found = {"accuracy": _accuracy(model, images, labels)}
    some = _first_of_each_class(labels, SCORED_IMAGES)
    attentions = {layer.name for layer in model.layers}
    for place, (layer, at) in PLACES.items():
        if layer in attentions:
            result = group_scores(
                model, images[some], layer, GROUPS, labels[some], at=at, batch_size=512
            )
            found[f"{place}_scores"] = result.scores
            found[f"{place}_hits"] = result.hits
            found["whole_scores"] = result.whole_scores
            found["whole_hits"] = result.whole_hits
    found |= gate_deviations(model, images[some])
    seen = _first_of_each_class(labels, SEEN_IMAGES)
    images, labels = images[seen], labels[seen]
    for name, values in class_activations(
        model, images, labels, groups=GROUPS, batch_size=100
    ).items():
        found[f"activations_{name}"] = values
    maps = grad_cam(model, images, labels, batch_size=100)
    # On black ground every other pixel belongs to the object.
    objects = (images > images.min())[..., 0]
    heat = maps.sum(axis=(1, 2))
    valid = heat > 0
    on_object = (maps * objects).sum(axis=(1, 2))[valid] / heat[valid]
    return found | {
        "images": images,
        "labels": labels,
        "predictions": model.predict(images, 100, verbose=0),
        "maps": maps,
        "heat_on_object": on_object.mean(),
        "object_share": objects.mean(),
    }


def gate_deviations(model, images) -> dict[str, float]:
    """How far the gates of each attention differ: between images, positions, channels.

    Args:
        model: A network; without attention the result is empty.
        images: A batch as it takes it.
    """
    from keras_sa.visualization import attention_maps
    from keras_sa.visualization.attention_gates import gated_layers

    if not gated_layers(model):
        return {}
    gates = attention_maps(model, images)
    return {f"gates_{name}": values.std() for name, values in gates.items()}


def by_stage(arrays: dict[str, np.ndarray], kind: str) -> dict[int, np.ndarray]:
    """The `"activations"` or `"gates"` that `measure` returned, by level."""
    prefix = f"{kind}_"
    return {
        found[0].level: values
        for name, values in arrays.items()
        if name.startswith(prefix)
        and (found := layer_names.parse(name.removeprefix(prefix)))
    }


def similarity(profiles: np.ndarray) -> float:
    """The mean correlation between the profiles of two classes.

    Args:
        profiles: `(classes, groups)`, as of `class_activations`.
    """
    correlations = np.corrcoef(profiles)
    return float(correlations[np.triu_indices(len(profiles), 1)].mean())


def map_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """The mean correlation of two networks' maps of the same images.

    Args:
        first: `(images, height, width)`. Constant maps are left out.
        second: Likewise.
    """
    pairs = [
        np.corrcoef(a.ravel(), b.ravel())[0, 1]
        for a, b in zip(first, second, strict=True)
        if a.std() > 0 and b.std() > 0
    ]
    return float(np.mean(pairs))


def summary(measured: dict[tuple[str, int], dict]) -> list[dict[str, str]]:
    """A row for each quantity, for `benchmark_report.report`.

    Args:
        measured: What `measure` returned, by the network's name and seed.

    Returns:
        Under the name of every kind of network its numbers, one for each seed.
    """
    kinds = list(dict.fromkeys(name for name, _ in measured))
    numbers = {network: _numbers(measured, network) for network in measured}
    quantities = dict.fromkeys(itertools.chain(*numbers.values()))
    return [
        {"": quantity}
        | {
            kind: "  ".join(
                f"{own[quantity]:.3f}"
                for (name, _), own in numbers.items()
                if name == kind and quantity in own
            )
            for kind in kinds
        }
        for quantity in quantities
    ]


def _numbers(measured, network):
    arrays = measured[network]
    numbers = {
        "accuracy": arrays["accuracy"],
        "mean score of whole images": arrays["whole_scores"].mean(),
        "hit rate of whole images": arrays["whole_hits"].mean(),
    }
    for place, label in PLACE_NAMES.items():
        if f"{place}_scores" in arrays:
            numbers |= {
                f"mean group score {label}": arrays[f"{place}_scores"].mean(),
                f"hit rate of groups {label}": arrays[f"{place}_hits"].mean(),
            }
    for stage, profiles in by_stage(arrays, "activations").items():
        numbers[f"similarity of classes, stage {stage}"] = similarity(profiles)
    for stage, deviation in by_stage(arrays, "gates").items():
        numbers[f"standard deviation of the gates, stage {stage}"] = deviation
    numbers |= {
        "Grad-CAM's share on the object": arrays["heat_on_object"],
        "object's share of the image": arrays["object_share"],
    }
    name, seed = network
    others = {
        "other kinds, same seed": [
            n for n in measured if n[0] != name and n[1] == seed
        ],
        "same kind, other seeds": [
            n for n in measured if n[0] == name and n[1] != seed
        ],
    }
    for label, networks in others.items():
        if networks:
            numbers[f"correlation of Grad-CAMs: {label}"] = np.mean(
                [map_correlation(arrays["maps"], measured[n]["maps"]) for n in networks]
            )
    return numbers


def _all(test):
    batches = [[part.numpy() for part in batch] for batch in test.epoch()]
    images, labels, weights = (
        np.concatenate(parts) for parts in zip(*batches, strict=True)
    )
    # Rows of weight 0 only fill up the last batch.
    return images[weights > 0], labels[weights > 0]


def _accuracy(model, images, labels):
    scores = model.predict(images, 500, verbose=0)
    return (scores.argmax(axis=-1) == labels).mean()


def _first_of_each_class(labels, count):
    indices = [np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]
    return np.array(list(itertools.chain(*indices)))
