"""Pictures of the serving benchmark: latency against batch, time of operations."""

from collections import Counter
from pathlib import Path

from keras_sa.scripts.benchmarks.serving_runtimes import NETWORKS
from keras_sa.scripts.benchmarks.serving_runtimes import random_images

RUNS = 5
KINDS = 8


def plot(folder: Path, latencies: dict, path: Path) -> Path:
    """Draws both pictures into one PNG file.

    Args:
        folder: Where the networks are.
        latencies: For every runtime and variant the milliseconds of each batch.
        path: The file.
    """
    from keras_sa.utils.extras import require_extra

    figure = require_extra("matplotlib.figure", "visualization").Figure(
        (13, 4), layout="constrained"
    )
    left, right = figure.subplots(1, 2)
    for (runtime, variant), points in latencies.items():
        left.plot(*zip(*sorted(points.items()), strict=True), "o-", ms=3)
        left.lines[-1].set_label(f"{runtime}: {variant}")
    left.set(xlabel="images in a request", ylabel="median, ms", title="latency")
    left.legend(fontsize=7)
    costs = {name: operation_times(folder / name / "1") for name in NETWORKS}
    total = sum(costs.values(), Counter())
    kinds = [kind for kind, _ in total.most_common(KINDS)]
    start = dict.fromkeys(costs, 0.0)
    for kind in kinds:
        widths = [costs[name][kind] for name in costs]
        right.barh(list(costs), widths, left=list(start.values()), label=kind)
        start = {n: start[n] + w for n, w in zip(start, widths, strict=True)}
    right.set(
        xlabel="ms at batch 8, one after the other", title="TensorFlow's operations"
    )
    right.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path


def operation_times(path: Path, batch: int = 8) -> Counter:
    """Milliseconds of each kind of operation in a SavedModel, each at its fastest."""
    import tensorflow as tf

    v1 = tf.compat.v1
    kinds, fastest = {}, {}
    # One operation after the other, or the times of two at once would overlap.
    config = v1.ConfigProto(
        inter_op_parallelism_threads=1, use_per_session_threads=True
    )
    with tf.Graph().as_default(), v1.Session(config=config) as session:
        model = v1.saved_model.load(session, ["serve"], str(path))
        signature = model.signature_def["predict_images"]
        feed = {signature.inputs["images"].name: random_images(batch)}
        output = signature.outputs["scores"].name
        session.run(output, feed)
        options = v1.RunOptions(
            trace_level=v1.RunOptions.FULL_TRACE, output_partition_graphs=True
        )
        for _ in range(RUNS):
            metadata = v1.RunMetadata()
            session.run(output, feed, options=options, run_metadata=metadata)
            kinds |= {
                node.name: _kind(node)
                for graph in metadata.partition_graphs
                for node in graph.node
            }
            for device in metadata.step_stats.dev_stats:
                for node in device.node_stats:
                    time = node.op_end_rel_micros - node.op_start_rel_micros
                    fastest[node.node_name] = min(
                        time, fastest.get(node.node_name, time)
                    )
    times = Counter()
    for name, time in fastest.items():
        times[kinds.get(name, "other")] += time / 1e3
    return times


def _kind(node):
    """The operation's name, and what is fused into it."""
    name = node.op.removeprefix("_MklNative").removeprefix("_Mkl")
    parts = [part.decode() for part in node.attr["fused_ops"].list.s]
    return f"{name} {'+'.join(parts)}" if parts else name
