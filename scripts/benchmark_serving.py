"""Served networks: fused SA against the same without attention and Keras' ResNet50."""

import statistics
import tempfile
from pathlib import Path
from typing import Annotated

import typer

RUNTIMES = ("TensorFlow", "ONNX Runtime", "OpenVINO")


def serving(
    batch: Annotated[list[int], typer.Option(help="Images in a request.")] = (1, 8),
    runtime: Annotated[
        list[str], typer.Option(help="TensorFlow, ONNX Runtime, OpenVINO.")
    ] = RUNTIMES,
    repeats: Annotated[int, typer.Option(help="Timed rounds of batch 8.")] = 10,
    models: Annotated[
        Path | None, typer.Option(help="Keep the networks here for the next time.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Also write a CSV and a PNG into this folder.")
    ] = None,
) -> None:
    """Times exported networks in float32 at 224x224; ratios within each round."""
    from keras_sa.scripts.serving_runtimes import RUNTIMES as KNOWN

    unknown = set(runtime) - set(KNOWN)
    if unknown:
        raise typer.BadParameter(f"--runtime must be of {list(KNOWN)}: {unknown}")
    if models is not None:
        models.mkdir(parents=True, exist_ok=True)
        _measure(models, batch, runtime, repeats, output)
        return
    with tempfile.TemporaryDirectory() as folder:
        _measure(Path(folder), batch, runtime, repeats, output)


def _measure(folder, batches, runtimes, repeats, output):
    from keras_sa.scripts import serving_runtimes as contenders
    from keras_sa.scripts.benchmark_report import report
    from keras_sa.scripts.benchmark_report import timing_rows
    from keras_sa.utils.timing import interleaved

    formats = [contenders.RUNTIMES[name][1] for name in runtimes]
    contenders.write_networks(folder, [kind for kind in formats if kind])
    rows = []
    latencies = {}
    for batch in batches:
        count = max(3, round(repeats * (4 if batch == 1 else 8 / batch)))
        for name in runtimes:
            build, _ = contenders.RUNTIMES[name]
            times = interleaved(build(folder, batch), count)
            rows += timing_rows(f"{name}, batch {batch}", times, contenders.PLAIN)
            if contenders.KERAS in times:
                what = f"{name}, batch {batch}, against Keras"
                rows += timing_rows(what, times, contenders.KERAS)
            for variant, values in times.items():
                points = latencies.setdefault((name, variant), {})
                points[batch] = 1e3 * statistics.median(values)
    functions = contenders.files_and_images(folder, 8)
    rows += timing_rows(
        "JPEG files of 500x375, batch 8",
        interleaved(functions, repeats),
        "decoded images",
    )
    csv = output / "latency.csv" if output else None
    report("ResNet-50, 224x224, float32", rows, csv)
    if output is not None:
        from keras_sa.scripts.serving_plots import plot

        print(f"written: {plot(folder, latencies, output / 'latency.png')}")


if __name__ == "__main__":
    typer.run(serving)
