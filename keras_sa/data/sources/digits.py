"""scikit-learn's handwritten digits: real images that need no download."""

import numpy as np

from keras_sa.data.sources.arrays import ArraySource
from keras_sa.data.sources.source import MissingSplitError
from keras_sa.utils.extras import require_extra

TEST_FRACTION = 0.2
SPLITS = ("train", "test")


def digits(rest: str, split: str, validation_fraction: float = 0.0) -> ArraySource:
    """The 1,797 grey 8x8 images of digits that scikit-learn ships.

    A fifth of every class is the test split, always the same one.

    Args:
        rest: Nothing: the source is just `"digits"`.
        split: `"train"` (1,437 images), `"test"` (360), or `"validation"` with a
            `validation_fraction`.
        validation_fraction: The part of the training images held out.

    Raises:
        ImportError: If scikit-learn is not installed.
        ValueError: If something stands behind `"digits"`, or the fraction leaves no
            image of a digit in one of the parts.
        MissingSplitError: If there is no such split.
    """
    datasets = require_extra("sklearn.datasets", "demo")
    selection = require_extra("sklearn.model_selection", "demo")
    splits = (*SPLITS, "validation") if validation_fraction else SPLITS
    if rest:
        raise ValueError(
            f"The source is just 'digits'. Received: source='digits:{rest}'"
        )
    if split not in splits:
        raise MissingSplitError(
            f"The splits of the digits are {splits} ('validation' with a "
            f"`validation_fraction`). Received: split={split!r}"
        )
    data = datasets.load_digits()
    # Their pixels are in 0..16.
    images = np.round(data.images * (255 / 16)).astype("uint8")
    train, test = selection.train_test_split(
        np.arange(len(images)),
        test_size=TEST_FRACTION,
        stratify=data.target,
        random_state=0,
    )
    indices = {"train": train, "test": test}
    if validation_fraction:
        try:
            indices["train"], indices["validation"] = selection.train_test_split(
                train,
                test_size=validation_fraction,
                stratify=data.target[train],
                random_state=0,
            )
        except ValueError as error:
            raise ValueError(
                "Both parts must have images of all digits. Received: "
                f"validation_fraction={validation_fraction}"
            ) from error
    chosen = indices[split]
    return ArraySource(
        images[chosen], data.target[chosen], [str(i) for i in range(10)], "digits"
    )
