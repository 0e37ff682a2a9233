"""Data sets by name."""

from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path

from keras_sa.data.augmentation import Augmentation
from keras_sa.data.bad_images import BadImages
from keras_sa.data.image_data import ImageData
from keras_sa.data.mixing import Mixing
from keras_sa.data.preparation import Preparation
from keras_sa.data.record_cache import records
from keras_sa.data.schedule import Schedule
from keras_sa.data.sources.arrays import ArraySource
from keras_sa.data.sources.arrays import part_of
from keras_sa.data.sources.digits import digits
from keras_sa.data.sources.fashion_mnist import fashion_mnist
from keras_sa.data.sources.folder import folder
from keras_sa.data.sources.npz import npz
from keras_sa.data.sources.source import IndexedSource
from keras_sa.data.sources.source import StreamedSource
from keras_sa.data.sources.source import check_validation_fraction
from keras_sa.data.sources.tfds import tfds
from keras_sa.data.sources.unlabelled_files import files
from keras_sa.utils.normalization import DEFAULT_MEAN
from keras_sa.utils.normalization import DEFAULT_STD

# What may stand before the colon of a source, and how it is opened: functions of
# what stands behind it, the split and the fraction that is held out.
SOURCES: dict[str, Callable[[str, str, float], IndexedSource | StreamedSource]] = {
    "digits": digits,
    "fashion_mnist": fashion_mnist,
    "files": files,
    "folder": folder,
    "npz": npz,
    "records": records,
    "tfds": tfds,
}


def load(
    source: str | tuple | IndexedSource | StreamedSource,
    split: str = "train",
    *,
    image_size: int | tuple[int, int] = 224,
    batch_size: int = 256,
    training: bool | None = None,
    augmentation: Augmentation | None = None,
    seed: int = 0,
    channels: int = 3,
    normalize: bool = True,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    crop_ratio: float | None = None,
    one_hot: bool | None = None,
    drop_remainder: bool = False,
    validation_fraction: float = 0.0,
    skip_bad_images: bool = False,
    report: str | Path | None = None,
    shard: tuple[int, int] = (0, 1),
) -> ImageData:
    """Opens a data set for training or evaluation.

    Image files are seen as a person sees them: turned as their EXIF orientation says.

    Args:
        source: `"folder:PATH"` (one folder a class, with or without `train` and
            `val` above), `"tfds:NAME"`, `"fashion_mnist"` or
            `"fashion_mnist:FOLDER"`, `"digits"`, `"npz:FILE"`, `"records:FOLDER"`
            (see `write_cache`), `"files:PATH"` (without labels); a pair of arrays
            `(images, labels)`; or any `Source`.
        split: `"train"`, `"validation"` or `"test"`, or whatever else the source
            knows.
        image_size: Height and width of the network's input, or one number for both.
        batch_size: The global batch, of all replicas and workers together.
        training: Whether to shuffle and to augment. Defaults to whether `split` is
            `"train"`.
        augmentation: Defaults to the published random resized crop and flip.
            Without training it only decides the form of the labels.
        seed: Order and augmentation are functions of it, in 0..2**32 - 1.
        channels: 3 for RGB, 1 for grey; images of the other kind are converted.
        normalize: Whether to subtract the mean and divide by the standard
            deviation. Otherwise images are uint8 in 0..255.
        mean: Mean of each channel in 0..1. Defaults to ImageNet's.
        std: Standard deviation of each channel. Defaults to ImageNet's.
        crop_ratio: The part of the short side that evaluation looks at. Defaults
            to the source's: 0.875 for photos, 1 for arrays.
        one_hot: Whether labels are distributions. Defaults to whether the
            augmentation needs it, so that validation fits training when both get
            the same augmentation.
        drop_remainder: Whether to leave out a last batch that isn't full instead
            of filling it up with rows of weight 0.
        validation_fraction: The part of the training images that is held out as
            `"validation"` where a source has no such split.
        skip_bad_images: Whether undecodable images get weight 0, instead of
            stopping with an error that names them.
        report: With `skip_bad_images`, a JSON-lines file that lists them. Several
            workers write one each, see `BadImages.of_worker`.
        shard: This worker's number and the number of workers.

    Returns:
        The batches; `.dataset()` and `.epoch(n)` give `tf.data.Dataset`s.

    Raises:
        FileNotFoundError: If the data is missing; `MissingSplitError`, a subclass, if
            it has no such split.
        ValueError: If an argument is out of its range or the data malformed.

    Example:

    ```python
    data = keras_sa.data.load("folder:photos", image_size=224, batch_size=32)
    model.fit(data.dataset(), steps_per_epoch=data.steps_per_epoch, epochs=10)
    ```
    """
    if isinstance(image_size, int):
        image_size = (image_size, image_size)
    if len(image_size) != 2 or min(image_size) < 1:
        raise ValueError(
            "`image_size` must be a positive number or two. "
            f"Received: image_size={image_size}"
        )
    for name, value, allowed in (
        ("batch_size", batch_size, batch_size >= 1),
        ("channels", channels, channels in (1, 3)),
        ("seed", seed, 0 <= seed < 2**32),
    ):
        if not allowed:
            raise ValueError(
                "`batch_size` must be positive, `channels` 1 or 3, and `seed` in "
                f"0..2**32 - 1. Received: {name}={value}"
            )
    opened = open_source(source, split, validation_fraction)
    if training is None:
        training = split == "train"
    augmentation = augmentation or Augmentation()
    if training and augmentation.rand_augment and channels != 3:
        raise ValueError(
            "RandAugment takes RGB images. "
            f"Received: channels={channels}, augmentation={augmentation}"
        )
    softens = augmentation.softens_labels
    if one_hot is None:
        one_hot = softens and bool(opened.class_names)
    if softens and training and not one_hot:
        raise ValueError(
            "MixUp, CutMix and label smoothing need classes and `one_hot`. "
            f"Received: one_hot={one_hot}, classes={len(opened.class_names)}"
        )
    if mean is None:
        mean = DEFAULT_MEAN[channels]
    if std is None:
        std = DEFAULT_STD[channels]
    if normalize and not len(mean) == len(std) == channels:
        raise ValueError(
            "`mean` and `std` must hold one number for each channel. "
            f"Received: mean={mean}, std={std}, channels={channels}"
        )
    if not opened.num_examples:
        raise ValueError(
            "There is no image in this part of the data. Received: "
            f"split={split!r}, validation_fraction={validation_fraction}"
        )
    schedule = Schedule(opened, batch_size, training, drop_remainder, seed)
    if not schedule.steps_per_epoch:
        raise ValueError(
            f"{opened.num_examples} images don't fill one batch, and "
            f"`drop_remainder` leaves out the rest. Received: batch_size={batch_size}"
        )
    height, width = image_size
    return ImageData(
        schedule=schedule,
        preparation=Preparation(
            encoded=opened.encoded,
            image_size=(height, width),
            channels=channels,
            crop_ratio=opened.crop_ratio if crop_ratio is None else crop_ratio,
            augmentation=augmentation if training else None,
            seed=seed,
            mean=tuple(mean) if normalize else None,
            std=tuple(std) if normalize else None,
        ),
        one_hot=one_hot,
        uint8=not normalize,
        bad_images=BadImages(skip_bad_images, report),
        mixing=Mixing(augmentation.mixup, augmentation.cutmix, seed)
        if training and augmentation.mixes_images
        else None,
        shard=shard,
    )


def open_source(
    source: str | tuple | IndexedSource | StreamedSource,
    split: str,
    validation_fraction: float = 0.0,
) -> IndexedSource | StreamedSource:
    """Finds the images that `load` reads: see there.

    Raises:
        ValueError: If there is no such kind of source, or a part that can't be held
            out.
    """
    check_validation_fraction(validation_fraction)
    if isinstance(source, IndexedSource | StreamedSource):
        if validation_fraction:
            raise ValueError(
                "Nothing can be held out of a source that is open already. "
                f"Received: validation_fraction={validation_fraction}"
            )
        return source
    if isinstance(source, tuple):
        whole = ArraySource(*source)
        if not validation_fraction:
            return whole
        part = part_of(whole.images, whole.labels, split, validation_fraction)
        return ArraySource(*part, whole.class_names, whole.name)
    kind, _, rest = source.partition(":")
    if kind not in SOURCES:
        raise ValueError(
            "`source` must be a pair of arrays or begin with one of "
            f"{list(SOURCES)}, as in 'folder:PATH'. Received: source={source!r}"
        )
    return SOURCES[kind](rest, split, validation_fraction)
