"""What `keras-sa train` says before and after."""

BAD_IMAGES = "bad_images.jsonl"


def report_plan(session, model, memory, name, xla_cache=None):
    """Prints what will be trained with what, and what it will take.

    Args:
        session: The `ClassifierSession`.
        model: Its model.
        memory: What `training_memory` says.
        name: Of the recipe.
        xla_cache: The folder in which XLA's work is to be kept, if any.
    """
    from rich.table import Table

    from keras_sa.scripts.plain_console import plain_console

    strategy, data = session.strategy, session.data
    replicas = strategy.num_replicas_in_sync
    rows = {
        "recipe": f"{name}, for {session.recipe.hardware}, expected: "
        + session.recipe.expected,
        "devices": f"{replicas}, of this process {', '.join(_devices(strategy))}",
        "images": f"{data.num_examples} of {session.classes} classes, "
        f"{data.image_shape}",
        "validation": _validation(session.validation),
        "global batch": f"{data.batch_size}, {data.batch_size // replicas} a device",
        "steps": _steps(session),
        "learning rate": _learning_rate(session),
        "batch statistics": _batch_statistics(session.recipe),
        "XLA": _xla(model, session.recipe, xla_cache),
        "parameters": f"{model.count_params():,}",
        "memory a device": f"about {sum(memory.values()) / 1e9:.2f} GB ("
        + ", ".join(f"{part} {size / 1e9:.2f}" for part, size in memory.items())
        + ")",
        "directory": str(session.directory),
    }
    table = Table(show_header=False)
    for row in rows.items():
        table.add_row(*row)
    plain_console().print(table)


def _validation(data):
    if data is None:
        return "none; --validation-fraction holds out a part of the images"
    return f"{data.num_examples} images"


def _steps(session):
    recipe = session.recipe
    head = f"{recipe.head_epochs} of the last layer, then " * (recipe.head_epochs > 0)
    return f"{session.data.steps_per_epoch} an epoch, {head}{recipe.epochs} epochs"


def _learning_rate(session):
    recipe, used = session.recipe, session.peak_learning_rate
    published = f"{recipe.learning_rate:g} for a batch of {recipe.batch_size}"
    how = "in proportion to" if session.learning_rate is None else "instead of"
    return f"{used:g}, {how} {published}"


def _batch_statistics(recipe):
    if recipe.freeze_batch_norms:
        return "kept"
    return "over all devices" if recipe.sync_batch_norm else "of each device"


def _xla(model, recipe, cache):
    from keras_sa.training.compiled import Compilation

    compilation = Compilation(model, synchronized=recipe.sync_batch_norm)
    if not compilation.uses_xla():
        reason = compilation.reason_against() if compilation.wanted else "for GPUs"
        nothing = "" if cache is None else f"; nothing is kept in {cache}"
        return f"not used: {reason}{nothing}"
    where = " between the sums of batch norms" if compilation.in_parts("train") else ""
    kept = "" if cache is None else f"; kept in {cache}"
    return f"compiles what a device computes{where}{kept}"


def _devices(strategy):
    import tensorflow as tf

    if strategy.num_replicas_in_sync == 1:
        kinds = [d.device_type for d in tf.config.list_physical_devices()]
        return ["GPU:0" if "GPU" in kinds else "CPU:0"]
    local = strategy.extended.worker_devices
    return [device.rpartition("device:")[2] for device in local]


def report_result(directory):
    """Prints the last epoch's metrics and draws the learning curve.

    Args:
        directory: Of the training.
    """
    from keras_sa.data.bad_images import read_report
    from keras_sa.recipes.metrics_log import plot_metrics
    from keras_sa.recipes.metrics_log import read_metrics

    rows = read_metrics(directory)
    print({name: value for name, value in rows[-1].items() if value is not None})
    reports = sorted(directory.glob(f"{BAD_IMAGES.partition('.')[0]}*.jsonl"))
    skipped = {name for report in reports for name in read_report(report)}
    if skipped:
        listed = ", ".join(str(report) for report in reports)
        print(f"{len(skipped)} images that can't be decoded were left out: {listed}")
    try:
        plot_metrics(rows, directory / "learning_curve.png")
    except ImportError as error:
        print(f"No learning curve: {error}")
