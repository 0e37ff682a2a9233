"""COCO's run-length encoding of masks, as lists of numbers."""

import numpy as np


def rle_encode(mask: np.ndarray) -> dict:
    """Encodes a mask as COCO's annotation files hold crowds.

    Args:
        mask: `(height, width)`, 0 or 1.

    Returns:
        `{"size": [height, width], "counts": [...]}`: the lengths of the runs down
        the columns, of zeros first.
    """
    flat = np.asarray(mask, bool).ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *changes, flat.size]).tolist()
    if flat.size and flat[0]:
        runs.insert(0, 0)
    return {"size": list(np.shape(mask)), "counts": runs}


def rle_decode(rle: dict) -> np.ndarray:
    """The mask of what `rle_encode` returns.

    Returns:
        A uint8 array `(height, width)`.

    Raises:
        ValueError: If the runs do not fill the size.
    """
    height, width = rle["size"]
    counts = np.asarray(rle["counts"], "int64")
    if (counts < 0).any() or counts.sum() != height * width:
        raise ValueError(
            "The runs of an RLE must fill its size. "
            f"Received: size={rle['size']}, sum of the runs={counts.sum()}"
        )
    values = np.arange(counts.size) % 2
    flat = np.repeat(values.astype("uint8"), counts)
    return flat.reshape(height, width, order="F")
