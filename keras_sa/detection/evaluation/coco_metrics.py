"""COCO's metrics, by pycocotools or one that is used like it."""

import contextlib
import io
import json
import tempfile
from pathlib import Path

from keras_sa.utils.extras import require_extra

# Where each backend has its two classes: the data set and its evaluation.
BACKENDS = {
    "pycocotools": ("pycocotools.coco.COCO", "pycocotools.cocoeval.COCOeval"),
    "faster_coco_eval": ("faster_coco_eval.COCO", "faster_coco_eval.COCOeval_faster"),
    "hotcoco": ("hotcoco.COCO", "hotcoco.COCOeval"),
}
KINDS = {"box": "bbox", "mask": "segm"}
# The first of the numbers that an evaluation gives, in its order.
METRICS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")


def coco_metrics(
    ground_truth: dict,
    results: list[dict],
    kind: str = "box",
    backend: str = "pycocotools",
) -> dict[str, float]:
    """Average precisions of detections.

    Args:
        ground_truth: The content of an annotation file of COCO.
        results: The content of a result file, see `coco_results`.
        kind: `"box"` or `"mask"`: what must overlap.
        backend: `"pycocotools"`; or, faster and with the same numbers,
            `"faster_coco_eval"` or `"hotcoco"`, to be installed beside it.

    Returns:
        `box_ap`, the mean over the thresholds .50 to .95 of the intersection over
        union; `box_ap50` and `box_ap75`; `box_ap_small`, `box_ap_medium` and
        `box_ap_large`, of objects below 32 x 32 pixels, up to 96 x 96, and above.
        With the kind `"mask"` they begin with `mask_`. In 0..1, or -1 where there are
        no such objects.

    Raises:
        ImportError: If the backend is not installed.
        ValueError: If there is no such kind or backend.
    """
    if kind not in KINDS:
        raise ValueError(
            f"`kind` must be one of {list(KINDS)}. Received: kind={kind!r}"
        )
    dataset_class, evaluation_class = backend_classes(backend)
    names = [f"{kind}_{metric}" for metric in METRICS]
    if kind == "mask":
        # With a box, its area would decide what is small.
        results = [
            {name: value for name, value in result.items() if name != "bbox"}
            for result in results
        ]
    # They print tables that nobody asked for.
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        truth = dataset_class(_written(ground_truth, folder, "truth"))
        if results:
            found = truth.loadRes(_written(results, folder, "results"))
        else:
            # As results the backends refuse it, but not as a data set.
            nothing = {**ground_truth, "annotations": []}
            found = dataset_class(_written(nothing, folder, "results"))
        evaluation = evaluation_class(truth, found, KINDS[kind])
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    numbers = [float(number) for number in evaluation.stats[: len(METRICS)]]
    return dict(zip(names, numbers, strict=True))


def backend_classes(backend: str) -> tuple[type, type]:
    """The classes of a backend: the data set and its evaluation.

    Raises:
        ImportError: If the backend is not installed.
        ValueError: If there is no such backend.
    """
    if backend not in BACKENDS:
        raise ValueError(
            f"`backend` must be one of {list(BACKENDS)}. Received: backend={backend!r}"
        )
    dataset_class, evaluation_class = (_found(path) for path in BACKENDS[backend])
    return dataset_class, evaluation_class


def _written(content, folder, name):
    path = Path(folder) / f"{name}.json"
    path.write_text(json.dumps(content))
    return str(path)


def _found(path):
    module, _, name = path.rpartition(".")
    if module.partition(".")[0] == "pycocotools":
        return getattr(require_extra(module, "detection"), name)
    return getattr(require_extra(module, "fast-detection"), name)
