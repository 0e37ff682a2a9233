"""What the serving benchmark draws: latency against batch, time of operations."""

from collections import Counter
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from keras_sa.scripts.benchmarks.serving_runtimes import PLAIN
from keras_sa.scripts.benchmarks.serving_runtimes import SA
from keras_sa.scripts.benchmarks.serving_runtimes import random_images
from keras_sa.visualization.canvas import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RUNS = 5
OTHER = "other"
# What an operation is for, by the first of these that its name in TensorFlow holds.
KINDS = {
    "Conv2D": "convolutions",
    "MatMul": OTHER,
    "InstanceNorm": "normalising",
    "SoftplusGrad": "x · sigmoid(gate)",
    "Mean": "means",
    "Mul": "products",
    "Add": "additions, ReLUs",
    "Relu": "additions, ReLUs",
}
# A line's colour is its runtime, its style the network.
STYLES = {SA: "-", PLAIN: "--"}
# Least distance of two names at the lines' ends, as a part of the axis.
NAME_HEIGHT = 0.047


def operation_rows(folder: Path, batch: int = 8) -> list[dict[str, str]]:
    """A row for each kind of operation: its milliseconds in both networks."""
    times = operation_times({name: folder / name / "1" for name in (PLAIN, SA)}, batch)
    # The others last.
    kinds = sorted(dict.fromkeys(KINDS.values()), key=OTHER.__eq__)
    return [
        {"operations": kind, **{name: f"{t[kind]:.1f} ms" for name, t in times.items()}}
        for kind in kinds
    ]


def latency_figure(
    latencies: Mapping[tuple[str, str], Mapping[int, float]],
    operations: list[dict[str, str]],
) -> "Figure":
    """Draws both pictures side by side.

    Args:
        latencies: For every runtime and variant the milliseconds of each batch.
        operations: What `operation_rows` returned.
    """
    figure = new_figure(13, 5)
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _draw_latencies(left, latencies)
    _draw_operations(right, operations)
    return figure


def _draw_latencies(axes, latencies):
    runtimes = list(dict.fromkeys(runtime for runtime, _ in latencies))
    batches = sorted({batch for points in latencies.values() for batch in points})
    ends = {}
    for (runtime, variant), points in latencies.items():
        order = sorted(points)
        values = [points[batch] / batch for batch in order]
        color = f"C{runtimes.index(runtime)}"
        axes.plot(order, values, "o", ls=STYLES.get(variant, ":"), ms=4, color=color)
        ends[f"{runtime}, {variant}"] = (order[-1], values[-1], color)
    axes.set_xscale("log", base=2)
    axes.set_xticks(batches, batches)
    axes.set_ylim(bottom=0)
    axes.set(xlabel="images in a request", title="milliseconds an image, medians")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    heights = spread([y for _, y, _ in ends.values()], NAME_HEIGHT * axes.get_ylim()[1])
    for (name, (x, y, color)), height in zip(ends.items(), heights, strict=True):
        axes.annotate(
            name,
            (x, y),
            # Beside the axis, wherever the last batch is.
            (1.07, height),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=9,
            color=color,
            arrowprops={
                "arrowstyle": "-",
                "color": color,
                "lw": 0.6,
                "shrinkB": 3,
                "relpos": (0, 0.5),
            },
        )


def spread(values: list[float], distance: float) -> list[float]:
    """The nearest values, by least squares, of this distance in the same order."""
    order = np.argsort(values, kind="stable")
    # What is left of a value behind the room of those below it must not fall.
    wanted = np.asarray(values, "float64")[order] - distance * np.arange(len(values))
    blocks = []
    for value in wanted:
        blocks.append([value])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    means = [np.mean(block) for block in blocks for _ in block]
    moved = np.empty(len(values))
    moved[order] = np.add(means, distance * np.arange(len(values)))
    return moved.tolist()


def _draw_operations(axes, operations):
    kinds = [row["operations"] for row in operations]
    for name, color, offset in ((PLAIN, "0.65", -0.2), (SA, "C0", 0.2)):
        times = [float(row[name].removesuffix(" ms")) for row in operations]
        rows = np.arange(1, len(kinds) + 1) + offset
        bars = axes.barh([offset, *rows], [sum(times), *times], 0.38, color=color)
        axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=8, color="0.2")
        # The first bar is the longest: it has room for its name.
        axes.text(
            3, offset, name, va="center", fontsize=8, color="white", weight="bold"
        )
    axes.set_yticks(range(len(kinds) + 1), ["together", *kinds])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set(
        xlabel="ms, the fastest of each operation, one after the other",
        title="TensorFlow's operations, 8 images",
    )


def operation_times(folders: Mapping[str, Path], batch: int = 8) -> dict[str, Counter]:
    """Milliseconds of each kind of operation in SavedModels, each at its fastest.

    The networks take turns, so that what they are compared by is of the same time.
    """
    rounds = {name: _traced(path, batch) for name, path in folders.items()}
    fastest: dict[str, dict[tuple, float]] = {name: {} for name in folders}
    for _ in range(RUNS):
        for name, run in rounds.items():
            for operation, time in run().items():
                fastest[name][operation] = min(time, fastest[name].get(operation, time))
    times: dict[str, Any] = {name: Counter() for name in folders}
    for name, operations in fastest.items():
        for (_, kind), time in operations.items():
            times[name][kind] += time
    return times


def _traced(path: Path, batch: int) -> Callable[[], Mapping]:
    """A function that runs the network once: the ms of every operation and its kind."""
    import tensorflow as tf

    v1 = tf.compat.v1
    # One operation after the other, or the times of two at once would overlap.
    config = v1.ConfigProto(
        inter_op_parallelism_threads=1, use_per_session_threads=True
    )
    session = v1.Session(graph=tf.Graph(), config=config)
    with session.graph.as_default():
        model = v1.saved_model.load(session, ["serve"], str(path))
    signature = model.signature_def["predict_images"]
    feed = {signature.inputs["images"].name: random_images(batch)}
    output = signature.outputs["scores"].name
    session.run(output, feed)
    options = v1.RunOptions(
        trace_level=v1.RunOptions.FULL_TRACE, output_partition_graphs=True
    )

    def run():
        metadata = v1.RunMetadata()
        session.run(output, feed, options=options, run_metadata=metadata)
        kinds = {
            node.name: _kind(node.op)
            for graph in metadata.partition_graphs
            for node in graph.node
        }
        return {
            (node.node_name, kinds.get(node.node_name, OTHER)): 1e-3
            * (node.op_end_rel_micros - node.op_start_rel_micros)
            for device in metadata.step_stats.dev_stats
            for node in device.node_stats
        }

    return run


def _kind(operation):
    return next((kind for part, kind in KINDS.items() if part in operation), OTHER)
