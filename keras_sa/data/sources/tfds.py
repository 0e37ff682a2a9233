"""TensorFlow Datasets by name."""

import os
import socket
import urllib.request
from collections.abc import Callable
from collections.abc import Sequence

from keras_sa.data.sources.record_files import RecordSource
from keras_sa.data.sources.record_files import Shard
from keras_sa.data.sources.source import MissingSplitError
from keras_sa.utils.extras import require_extra

# Where TensorFlow Datasets keeps what it needs for a download.
HOST, PORT = "storage.googleapis.com", 443
TIMEOUT = 5.0


def tfds(rest: str, split: str, validation_fraction: float = 0.0) -> RecordSource:
    """Any image classification set of TensorFlow Datasets.

    A set that is not prepared yet is downloaded and prepared in TFDS' folder
    (`TFDS_DATA_DIR`, by default `~/tensorflow_datasets`).

    Args:
        rest: The name, with a config or version where needed: `"cifar10"`,
            `"imagenet2012:5.1.0"`.
        split: A split of the set, or a part of one: `"train"`, `"train[:90%]"`.
        validation_fraction: The last part of `"train"` that is held out as
            `"validation"` where the set has no such split.

    Raises:
        ImportError: If TensorFlow Datasets is not installed.
        ConnectionError: If the set is not prepared and can't be downloaded.
        MissingSplitError: If it has no such split.
        ValueError: If there is no such set, or it is not a set of images with one
            label each.
    """
    return source_of(builder_of(rest), split, validation_fraction)


def builder_of(name: str):
    """The builder of a set, which is prepared first if it isn't: see `tfds`."""
    require_extra("importlib_resources", "tfds")
    datasets = require_extra("tensorflow_datasets", "tfds")
    try:
        builder = datasets.builder(name)
    except datasets.core.DatasetNotFoundError:
        # Its own message lists all the sets, a thousand lines.
        raise ValueError(
            "TensorFlow Datasets has no set of this name; "
            "`tensorflow_datasets.list_builders()` names them all. "
            f"Received: {name!r}"
        ) from None
    if not builder.info.splits:
        check_connection(name, str(builder.data_path))
        builder.download_and_prepare()
    return builder


def source_of(builder, split: str, validation_fraction: float = 0.0) -> RecordSource:
    """The source of a prepared TFDS builder; the arguments are those of `tfds`."""
    datasets = require_extra("tensorflow_datasets", "tfds")
    name = builder.info.full_name
    image, label = _keys(builder, name)
    features = datasets.decode.PartialDecoding(
        {image: True, label: True}
    ).extract_features(builder.info.features)

    def parse(record):
        example = features.deserialize_example(
            record, decoders={image: datasets.decode.SkipDecoding()}
        )
        return example[label], example[image]

    names = builder.info.features[label].names
    return records_of(builder, split, parse, names, validation_fraction)


def records_of(
    builder,
    split: str,
    parse: Callable,
    class_names: Sequence[str] = (),
    validation_fraction: float = 0.0,
) -> RecordSource:
    """The records of a prepared builder.

    Args:
        builder: The builder.
        split: See `tfds`.
        parse: See `RecordSource`.
        class_names: See `RecordSource`.
        validation_fraction: See `tfds`.

    Raises:
        MissingSplitError: If there is no such split.
        ValueError: If its files aren't TFRecord files.
    """
    name = builder.info.full_name
    splits = builder.info.splits
    try:
        files = splits[
            _instruction(split, splits, validation_fraction)
        ].file_instructions
    except (KeyError, ValueError) as error:
        raise MissingSplitError(
            f"{name} has the splits {list(splits)}, and 'validation' with a "
            f"`validation_fraction`. Received: split={split!r}"
        ) from error
    if builder.info.file_format.value != "tfrecord":
        raise ValueError(
            "Only sets that are prepared as TFRecord files can be read. "
            f"Received: {name} with file_format={builder.info.file_format.value!r}"
        )

    return RecordSource(
        f"{name} {split}",
        [Shard(str(file.filename), file.skip, file.take) for file in files],
        parse,
        class_names,
    )


def check_connection(name: str, folder: str) -> None:
    """Fails at once where a download would retry for minutes.

    Raises:
        ConnectionError: If the server can't be reached.
    """
    proxy = urllib.request.getproxies().get("https")
    if proxy:
        # Whether the server can be reached is for the proxy to find out.
        return
    try:
        socket.create_connection((HOST, PORT), TIMEOUT).close()
    except OSError as error:
        raise ConnectionError(
            f"The data set {name!r} is not prepared in {folder!r}, and there is no "
            f"connection to {HOST} to download it ({error}). Prepare it on a machine "
            "with a connection and copy the folder, or set TFDS_DATA_DIR (now: "
            f"{os.environ.get('TFDS_DATA_DIR', 'not set')})."
        ) from error


def _keys(builder, name):
    """The keys of the image and of its label."""
    datasets = require_extra("tensorflow_datasets", "tfds")
    features = builder.info.features
    keys = builder.info.supervised_keys
    if keys is None:
        keys = tuple(
            next((k for k in features if isinstance(features[k], kind)), None)
            for kind in (datasets.features.Image, datasets.features.ClassLabel)
        )
    if (
        len(keys) != 2
        or None in keys
        or not isinstance(features[keys[0]], datasets.features.Image)
        or not isinstance(features[keys[1]], datasets.features.ClassLabel)
    ):
        raise ValueError(
            f"{name} is not a set of images with one label each: {features}"
        )
    return keys


def _instruction(split, splits, fraction):
    if fraction and "validation" not in splits and split in ("train", "validation"):
        kept = round(splits["train"].num_examples * (1 - fraction))
        return f"train[:{kept}]" if split == "train" else f"train[{kept}:]"
    return split
