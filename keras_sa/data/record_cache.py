"""A data set copied into TFRecord files, for storage that is slow on small files."""

import json
import os
import shutil
from pathlib import Path

from keras_sa.data.sources.record_files import RecordSource
from keras_sa.data.sources.record_files import Shard
from keras_sa.data.sources.source import IndexedSource
from keras_sa.data.sources.source import MissingSplitError

MANIFEST = "manifest.json"
FORMAT = 1
SHARD_BYTES = 200 * 2**20


def write_cache(
    source: IndexedSource, directory: str | Path, shard_bytes: int = SHARD_BYTES
) -> RecordSource:
    """Copies the image files of a source, as they are, into TFRecord files.

    The files appear under their names when all of them are complete.

    Args:
        source: What `open_source` gives for a folder.
        directory: A folder that doesn't exist yet.
        shard_bytes: About how large a file becomes.

    Returns:
        The source that reads the copy; also `load("records:DIRECTORY")`.

    Raises:
        FileExistsError: If the folder exists.
        ValueError: If the source does not consist of image files.

    Example:

    ```python
    photos = keras_sa.data.open_source("folder:/network/photos", "train")
    keras_sa.data.write_cache(photos, "/local/photos-train")
    data = keras_sa.data.load("records:/local/photos-train", batch_size=32)
    ```

    Several splits, as `"/local/photos/train"` and `"/local/photos/validation"`, are
    one source, `"records:/local/photos"`.
    """
    directory = Path(directory).expanduser()
    if not isinstance(source, IndexedSource) or not source.encoded:
        raise ValueError(
            "Only image files can be copied into a cache. "
            f"Received: {type(source).__name__}"
        )
    if directory.exists():
        raise FileExistsError(f"{str(directory)!r} exists already.")
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}.partial")
    temporary.mkdir(parents=True)
    try:
        shards = _write_shards(source, temporary, shard_bytes)
        manifest = {
            "format": FORMAT,
            "class_names": source.class_names,
            "shards": shards,
        }
        (temporary / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        temporary.rename(directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return records(str(directory), "all")


def records(path: str, split: str, validation_fraction: float = 0.0) -> RecordSource:
    """Opens what `write_cache` wrote.

    The sizes of the files are compared with the manifest. TensorFlow checks the
    checksum of every record when it reads it.

    Args:
        path: The folder of one cache, or one that holds a cache in a folder for each
            split, `PATH/train`, `PATH/validation` and so on.
        split: The name of such a folder. One cache alone is `"train"` or `"all"`.
        validation_fraction: Must be 0.

    Raises:
        FileNotFoundError: If there is no such cache.
        MissingSplitError: If it has no such split.
        ValueError: If it is damaged, or a part should be held out.
    """
    directory = Path(path).expanduser()
    if validation_fraction:
        raise ValueError(
            "Nothing can be held out of a cache; write one for each split. "
            f"Received: validation_fraction={validation_fraction}"
        )
    directory = _cache_of_split(directory, split)
    manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    if manifest.get("format") != FORMAT:
        raise ValueError(
            f"{str(directory)!r} is a cache of another format. "
            f"Received: format={manifest.get('format')}"
        )
    for shard in manifest["shards"]:
        file = directory / shard["file"]
        size = file.stat().st_size if file.is_file() else None
        if size != shard["bytes"]:
            raise ValueError(
                f"The cache is damaged: {str(file)!r} should have {shard['bytes']} "
                f"bytes. Received: {size}"
            )
    return RecordSource(
        str(directory),
        [
            Shard(str(directory / shard["file"]), 0, shard["examples"])
            for shard in manifest["shards"]
        ],
        _parse,
        manifest["class_names"],
    )


def _cache_of_split(directory, split):
    if (directory / MANIFEST).is_file():
        if split in ("train", "all"):
            return directory
        raise MissingSplitError(
            f"{str(directory)!r} is one cache, 'train' or 'all'. Those of several "
            "splits lie in folders of these names. "
            f"Received: split={split!r}"
        )
    found = sorted(file.parent.name for file in directory.glob(f"*/{MANIFEST}"))
    if not found:
        raise FileNotFoundError(f"There is no cache in {str(directory)!r}.")
    if split not in found:
        raise MissingSplitError(
            f"{str(directory)!r} holds caches of the splits {found}. "
            f"Received: split={split!r}"
        )
    return directory / split


def _write_shards(source, directory, shard_bytes):
    import tensorflow as tf

    shards: list[dict] = []
    writer, size = None, 0
    for index in range(source.num_examples):
        if writer is None:
            file = f"{len(shards):05}.tfrecord"
            writer, examples, size = (
                tf.io.TFRecordWriter(str(directory / file)),
                0,
                0,
            )
        record = _serialize(
            source.payload_of(index).numpy(), int(source.labels_of(index))
        )
        writer.write(record)
        examples, size = examples + 1, size + len(record)
        if size >= shard_bytes or index == source.num_examples - 1:
            writer.close()
            written = (directory / file).stat().st_size
            shards.append({"file": file, "examples": examples, "bytes": written})
            writer = None
    return shards


def _serialize(contents, label):
    import tensorflow as tf

    feature = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[contents])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    features = tf.train.Features(feature=feature)
    return tf.train.Example(features=features).SerializeToString()


def _parse(record):
    import tensorflow as tf

    example = tf.io.parse_single_example(
        record,
        {
            "image": tf.io.FixedLenFeature((), tf.string),
            "label": tf.io.FixedLenFeature((), tf.int64),
        },
    )
    return example["label"], example["image"]
