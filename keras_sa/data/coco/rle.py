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
    """The mask of an RLE, whose runs are a list or a string.

    Written here for files that may come from anywhere: nothing is trusted.

    Args:
        rle: See `rle_encode`.

    Returns:
        A uint8 array `(height, width)`.

    Raises:
        ValueError: If the runs do not fill the size.
    """
    height, width = rle["size"]
    counts = rle["counts"]
    if isinstance(counts, str):
        counts = runs_of_string(counts)
    counts = np.asarray(counts, "int64")
    if (counts < 0).any() or counts.sum() != height * width:
        raise ValueError(
            "The runs of an RLE must fill its size. "
            f"Received: size={rle['size']}, sum of the runs={counts.sum()}"
        )
    values = np.arange(counts.size) % 2
    flat = np.repeat(values.astype("uint8"), counts)
    return flat.reshape(height, width, order="F")


def runs_of_string(text: str) -> list[int]:
    """The runs of COCO's compressed form.

    A character holds six bits above "0": five of a number, the lowest first, and
    whether more follow; the last one's highest bit is the sign. From the fourth
    number on, they are differences to the last but one.

    Args:
        text: The `"counts"` of a compressed RLE.

    Returns:
        The lengths of the runs.

    Raises:
        ValueError: If it is not of this form.
    """
    runs: list[int] = []
    value, shift = 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 40:
            raise ValueError(
                f"This is not a compressed RLE. Received: counts={text[:40]!r}"
            )
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value = shift = 0
    if shift:
        raise ValueError(f"The RLE is truncated. Received: counts={text[-40:]!r}")
    return runs
