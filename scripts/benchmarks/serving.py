"""Served networks: fused SA against the same without attention and Keras' ResNet50."""

import importlib.util
import statistics
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from keras_sa.scripts import shared_options
from keras_sa.scripts.benchmarks.serving_runtimes import PYTORCH
from keras_sa.scripts.benchmarks.serving_runtimes import RUNTIMES

# Not everyone who serves has PyTorch: it is a column for those who do.
DEFAULTS = [
    name for name in RUNTIMES if name != PYTORCH or importlib.util.find_spec("torch")
]


def serving(
    batch: Annotated[
        list[int], typer.Option(min=1, help="Images in a request.")
    ] = shared_options.INFERENCE_BATCHES,
    runtime: Annotated[
        list[str],
        typer.Option(
            help="TensorFlow, ONNX Runtime, OpenVINO and, if installed, PyTorch."
        ),
    ] = DEFAULTS,
    repeats: Annotated[int, typer.Option(min=1, help="Timed rounds of batch 8.")] = 10,
    models: Annotated[
        Path | None, typer.Option(help="Keep the networks here for the next time.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Also write CSVs and a PNG into this folder.")
    ] = None,
) -> None:
    """Times exported networks in float32 at 224x224; ratios within each round."""
    unknown = set(runtime) - set(RUNTIMES)
    if unknown:
        raise typer.BadParameter(f"--runtime must be of {list(RUNTIMES)}: {unknown}")
    if models is not None:
        models.mkdir(parents=True, exist_ok=True)
        _measure(models, batch, runtime, repeats, output)
        return
    with tempfile.TemporaryDirectory() as folder:
        _measure(Path(folder), batch, runtime, repeats, output)


def _measure(folder, batches, runtimes, repeats, output):
    from keras_sa.scripts.benchmarks import serving_runtimes as contenders
    from keras_sa.scripts.benchmarks.report import report
    from keras_sa.scripts.benchmarks.report import timing_rows
    from keras_sa.scripts.benchmarks.timing import interleaved

    formats = [RUNTIMES[name][1] for name in runtimes]
    contenders.write_networks(folder, [kind for kind in formats if kind])
    rows = []
    latencies: dict[tuple[str, str], dict[int, float]] = {}
    for batch in batches:
        count = max(3, round(repeats * (4 if batch == 1 else 8 / batch)))
        attentive = {}
        for name in runtimes:
            build, _ = RUNTIMES[name]
            functions = build(folder, batch)
            attentive[name] = functions[contenders.SA]
            times = interleaved(functions, count)
            rows += timing_rows(f"{name}, batch {batch}", times, contenders.PLAIN)
            if contenders.KERAS in times:
                what = f"{name}, batch {batch}, against Keras"
                rows += timing_rows(what, times, contenders.KERAS)
            for variant, values in times.items():
                points = latencies.setdefault((name, variant), {})
                points[batch] = 1e3 * statistics.median(values)
        if PYTORCH in attentive:
            what = f"SA, batch {batch}, every runtime"
            rows += timing_rows(what, interleaved(attentive, count), PYTORCH)
    functions = contenders.files_and_images(folder, 8)
    rows += timing_rows(
        "JPEG files of 500x375, batch 8",
        interleaved(functions, repeats),
        "decoded images",
    )
    csv = output / "latency.csv" if output else None
    report("ResNet-50, 224x224, float32", rows, csv)
    if output is not None:
        from keras_sa.scripts.benchmarks.serving_plots import latency_figure
        from keras_sa.scripts.benchmarks.serving_plots import operation_rows

        operations = operation_rows(folder)
        report("TensorFlow's operations", operations, output / "operations.csv")
        path = output / "latency.png"
        latency_figure(latencies, operations).savefig(path, dpi=120)
        print(f"written: {path}")


if __name__ == "__main__":
    typer.run(serving)
