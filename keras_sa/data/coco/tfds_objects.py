"""Boxes of TensorFlow Datasets."""

from keras_sa.data.coco.annotation_entries import checked_object
from keras_sa.data.coco.annotation_entries import noted
from keras_sa.data.coco.annotations import Annotations
from keras_sa.data.coco.annotations import Image
from keras_sa.data.coco.annotations import gather
from keras_sa.data.coco.problems import Problems
from keras_sa.data.decoding import decode
from keras_sa.data.orientation import exif_orientation
from keras_sa.data.orientation import upright_size
from keras_sa.data.sources.record_files import RecordSource
from keras_sa.data.sources.tfds import builder_of
from keras_sa.data.sources.tfds import records_of
from keras_sa.utils.extras import require_extra

# Not every set has them.
OPTIONAL = ("is_crowd", "area")


def tfds_objects(
    name: str, split: str, problems: Problems, masks: bool
) -> tuple[Annotations, RecordSource]:
    """Images with boxes of TensorFlow Datasets, such as `"coco/2017"`.

    Args:
        name: The set's name, with a config or version where needed.
        split: A split of the set, or a part of one.
        problems: Where to note boxes that can't be used.
        masks: Must be `False`: TensorFlow Datasets has no masks.

    Returns:
        The annotations, read from all records once, and the images.

    Raises:
        ValueError: If there is no such set or split, it has no boxes, or masks are
            asked for.
    """
    if masks:
        raise ValueError(
            "TensorFlow Datasets has no masks; read COCO's own files with "
            f"'coco:FOLDER'. Received: source='tfds:{name}'"
        )
    return objects_of(builder_of(name), split, problems)


def objects_of(
    builder, split: str, problems: Problems
) -> tuple[Annotations, RecordSource]:
    """The boxes and images of a prepared TFDS builder: see `tfds_objects`."""
    datasets = require_extra("tensorflow_datasets", "tfds")
    features, name = builder.info.features, builder.info.full_name
    kinds = datasets.features
    found = dict(features.items())
    objects = found.get("objects")
    objects = (
        dict(objects.feature.items()) if isinstance(objects, kinds.Sequence) else {}
    )
    if not (
        isinstance(found.get("image"), kinds.Image)
        and isinstance(objects.get("bbox"), kinds.BBoxFeature)
        and isinstance(objects.get("label"), kinds.ClassLabel)
    ):
        raise ValueError(
            f"{name} is not a set of images with boxes: it must have 'image' and "
            f"'objects' with 'bbox' and 'label'. Its features: {features}"
        )
    keys = {key: True for key in OPTIONAL if key in objects}
    wanted = datasets.decode.PartialDecoding(
        {"image": True, "objects": {"bbox": True, "label": True, **keys}}
    ).extract_features(features)
    decoders = {"image": datasets.decode.SkipDecoding()}

    def parse(record):
        return wanted.deserialize_example(record, decoders=decoders)

    records = records_of(builder, split, lambda record: (0, record))
    annotations = _annotations(records, parse, objects["label"].names, problems)
    problems.settle()
    images = records_of(builder, split, lambda record: (0, parse(record)["image"]))
    return annotations, images


def _annotations(records, parse, class_names, problems):
    """Reads all records once, without decoding their images."""
    import tensorflow as tf

    def described(index, _, record):
        example = parse(record)
        return index, image_shape(example["image"]), example["objects"]

    dataset = records.stream(tf.constant(0, tf.int64), None).map(
        described, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    images: list[Image] = []
    objects: list[list] = []
    categories = dict(enumerate(class_names, start=1))
    classes = {id: number for number, id in enumerate(categories)}
    for index, (height, width), found in dataset.as_numpy_iterator():
        name = f"{records.name} example {index}"
        images.append(Image(int(index), name, int(height), int(width)))
        objects.append([])
        for number, box in enumerate(found["bbox"]):
            entry = _entry(found, number, box * [height, width, height, width])
            noted(
                problems,
                f"{name}, objects",
                number,
                entry,
                _add,
                objects[-1],
                images[-1],
                classes,
            )
    return gather(images, objects, categories)


def _add(entry, objects, image, classes):
    row, flaws = checked_object(entry, image, classes)
    objects.append(row)
    return flaws


def _entry(found, number, box):
    """An object as COCO's files describe it."""
    top, left, bottom, right = map(float, box)
    entry = {
        "category_id": int(found["label"][number]) + 1,
        "bbox": [left, top, right - left, bottom - top],
        "iscrowd": int(found["is_crowd"][number]) if "is_crowd" in found else 0,
    }
    if "area" in found:
        entry["area"] = float(found["area"][number])
    return entry


def image_shape(contents):
    """Height and width of `decode(contents)`, of a JPEG without decoding it."""
    import tensorflow as tf

    return tf.cond(
        tf.strings.substr(contents, 0, 3) == b"\xff\xd8\xff",
        lambda: upright_size(
            tf.io.extract_jpeg_shape(contents)[:2], exif_orientation(contents)
        ),
        lambda: tf.shape(decode(contents))[:2],
    )
