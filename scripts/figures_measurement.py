"""What `keras-sa figures` measures at a network, and its numbers."""

import itertools
import re

import numpy as np

SCORED_IMAGES = 20  # of each class, masked with every group
SEEN_IMAGES = 100  # of each class, for activations and Grad-CAM
GROUPS = 64
LAST_BLOCK = "conv5_block1"
# Where group scores are read: which layer, and its input or output.
PLACES = {
    "before": (f"{LAST_BLOCK}_attention", "input"),
    "after": (f"{LAST_BLOCK}_attention", "output"),
    "block": (f"{LAST_BLOCK}_out", "output"),
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


def activations_of(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The class activations among the arrays, by the stage's number."""
    return {
        re.search(r"conv(\d+)", name)[1]: values
        for name, values in arrays.items()
        if name.startswith("activations_")
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
    """A row of numbers for each network, for `benchmark_report.report`.

    Args:
        measured: What `measure` returned, by the network's name and seed.
    """
    rows = []
    for (name, seed), arrays in measured.items():
        row = {
            "network": name,
            "seed": str(seed),
            "accuracy": f"{arrays['accuracy']:.4f}",
            "whole score": f"{arrays['whole_scores'].mean():.3f}",
        }
        for place in PLACES:
            scores, hits = (
                arrays.get(f"{place}_{kind}") for kind in ("scores", "hits")
            )
            row[f"score {place}"] = "" if scores is None else f"{scores.mean():.3f}"
            row[f"hits {place}"] = "" if hits is None else f"{hits.mean():.3f}"
        for stage, profiles in activations_of(arrays).items():
            row[f"similarity {stage}"] = f"{similarity(profiles):.3f}"
        row["heat on object"] = f"{arrays['heat_on_object']:.3f}"
        row["object"] = f"{arrays['object_share']:.3f}"
        row["maps, other kinds"], row["maps, other seeds"] = (
            _mean_correlation(measured, arrays, others)
            for others in (
                [n for n in measured if n[0] != name],
                [n for n in measured if n[0] == name and n[1] != seed],
            )
        )
        rows.append(row)
    return rows


def _mean_correlation(measured, arrays, others):
    if not others:
        return ""
    values = [map_correlation(arrays["maps"], measured[o]["maps"]) for o in others]
    return f"{np.mean(values):.3f}"


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
