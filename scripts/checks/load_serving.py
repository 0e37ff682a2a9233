"""Load on a running server: requests a second, latencies, the server's memory."""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer


def load(
    image: Annotated[Path, typer.Argument(help="An image file to send.")],
    name: Annotated[str, typer.Option(help="The model's name.")],
    url: Annotated[str, typer.Option(help="The server.")] = "http://127.0.0.1:8501",
    requests: Annotated[int, typer.Option(help="How many.")] = 5000,
    clients: Annotated[int, typer.Option(help="How many at once.")] = 4,
    pid: Annotated[
        int | None, typer.Option(help="The server's process, to watch its memory.")
    ] = None,
) -> None:
    """Sends the same image again and again and prints how it was answered."""
    from keras_sa.serving.client import predict_rest

    file = image.read_bytes()

    def ask(_):
        start = time.perf_counter()
        (prediction,) = predict_rest([file], name, url)
        if not prediction["valid"]:
            raise RuntimeError(f"{image} was not accepted.")
        return time.perf_counter() - start

    # The first tenth fills caches and pools.
    parts = [requests // 10, requests - requests // 10]
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(ask, range(parts[0])))
        before = _memory(pid)
        start = time.perf_counter()
        times = list(pool.map(ask, range(parts[1])))
        seconds = time.perf_counter() - start
    percentiles = statistics.quantiles(times, n=100)
    typer.echo(
        f"{len(times)} requests from {clients} clients: "
        f"{len(times) / seconds:.0f} requests/s, "
        f"p50 {1e3 * percentiles[49]:.1f} ms, p99 {1e3 * percentiles[98]:.1f} ms"
    )
    if pid is not None:
        typer.echo(f"memory of the server: {before} MB before, {_memory(pid)} MB after")


def _memory(pid):
    """Resident memory in MB."""
    if pid is None:
        return None
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) // 1024


if __name__ == "__main__":
    typer.run(load)
