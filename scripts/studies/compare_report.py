"""The report of `keras-sa compare`: accuracies, counts and measured costs."""

from pathlib import Path

from keras_sa.study import Arm
from keras_sa.study import RunTable


def network_options(arm: Arm, settings: dict, classes: int) -> dict:
    """Keyword arguments of `AttentionResNet`."""
    return {
        "attention": arm.attention,
        "attention_options": dict(arm.options) or None,
        "classes": classes,
        **settings["network"],
    }


def image_shape(settings: dict) -> tuple[int, int, int]:
    """Height, width and channels."""
    return (settings["image_size"], settings["image_size"], settings["channels"])


def count_networks(
    arms: dict[str, Arm], settings: dict, classes: int
) -> dict[str, dict[str, float]]:
    """Parameters and multiply-adds of each network.

    Args:
        arms: Name to network.
        settings: What all runs have in common.
        classes: Of the data.

    Raises:
        ValueError: If a network can't be built, such as for a number of groups that
            does not fit its channels.
    """
    import keras

    from keras_sa.applications import AttentionResNet
    from keras_sa.utils import count_flops

    counts = {}
    for name, arm in arms.items():
        keras.backend.clear_session()
        model = AttentionResNet(
            input_shape=image_shape(settings), **network_options(arm, settings, classes)
        )
        counts[name] = {
            "parameters": model.count_params(),
            "million multiply-adds": round(count_flops(model) / 1e6, 3),
        }
    return counts


def measure_costs(
    directory: Path, arms: dict[str, Arm], settings: dict, classes: int
) -> None:
    """Writes times and memory, each divided by that of the first network, to a file.

    Args:
        directory: Gets `costs.csv`.
        arms: Name to network.
        settings: What all runs have in common.
        classes: Of the data.
    """
    from keras_sa.scripts.benchmarks.network_costs import cost_rows
    from keras_sa.scripts.benchmarks.report import report

    variants = {
        name: network_options(arm, settings, classes) for name, arm in arms.items()
    }
    first = next(iter(variants))
    batch = settings["batch_size"]
    rows = cost_rows(variants, first, image_shape(settings), (1, batch), batch)
    report(f"Costs, as multiples of {first}", rows, directory / "costs.csv")


def report_comparison(
    directory: Path,
    settings: dict,
    arms: dict[str, Arm],
    table: RunTable,
    counts: dict[str, dict[str, float]],
    command: str,
) -> None:
    """Prints and writes what the runs of a comparison carry.

    Args:
        directory: Where the report goes.
        settings: What all runs have in common.
        arms: Name to network.
        table: The runs.
        counts: What `count_networks` returned.
        command: What was called, for the report.
    """
    from keras_sa.scripts.benchmarks.report import machine
    from keras_sa.study import write_report

    results = {}
    for name in arms:
        found = {
            int(row["seed"]): float(row["accuracy"])
            for row in table.rows
            if row["arm"] == name
        }
        if found:
            results[name] = found
    if not results:
        print("no runs yet")
        return
    counted = {name: dict(counts[name]) for name in results}
    _add_measured(directory, counted)
    network = settings["network"]
    size = settings["image_size"]
    title = f"Attention modules on {settings['data']}"
    description = [
        f"{settings['images'] or 'All'} training images of {size}x{size}, "
        f"{settings['epochs']} epochs of batches of {settings['batch_size']}; "
        f"bottlenecks {network['blocks']}, width {network['width']}, "
        f"{settings['groups']} groups; SGD with Nesterov momentum 0.9 and a rate that "
        f"rises to {settings['learning_rate']} and falls as a cosine; accuracy of the "
        f"split {settings['split']!r}. Every run is in `runs.csv`, all settings in "
        "`settings.json`.",
        f"Command: `{command}`.",
        f"Machine: {machine()}.",
    ]
    print(write_report(directory, title, results, counted, description))


def _add_measured(directory, counted):
    """Adds the ratios of `costs.csv`, if they were measured, to the table."""
    import csv

    path = directory / "costs.csv"
    if not path.is_file():
        return
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["variant"] in counted:
                column = f"{row['measured']}, ratio"
                counted[row["variant"]][column] = float(row["median ratio"])
