"""What a weight file holds, before any of it is trusted."""

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Literal

import numpy as np

FLOATS = ("float16", "bfloat16", "float32", "float64")


@dataclass(frozen=True)
class StoredArray:
    """An array in a file. Only its declaration is known until it is read.

    Args:
        shape: The declared shape.
        dtype: The declared element type, as NumPy names it, or `"bfloat16"`.
        load: Returns the array, as float32 where NumPy has no such type.
    """

    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], np.ndarray]

    def read(self, dtype: str) -> np.ndarray:
        """The values as `dtype`.

        Raises:
            ValueError: If the stored type is of another kind (an integer where a
                float is needed), the data is damaged, or a value is not finite.
        """
        if ("float" in dtype) != (self.dtype in FLOATS):
            raise ValueError(f"has the dtype {self.dtype}, not {dtype}")
        try:
            array = self.load()
        except Exception as error:
            # Damaged data: every format's library has errors of its own for it.
            raise ValueError(f"can't be read: {error}") from error
        with np.errstate(over="ignore"):
            array = array.astype(dtype)
        if not np.isfinite(array).all():
            raise ValueError("has values that are not finite (NaN or infinite)")
        return array


@dataclass(frozen=True)
class Checkpoint:
    """The arrays of a file by name.

    Args:
        path: Where it is.
        layout: `"published"`: names and axes of PyTorch's networks, such as
            `"layer1.0.conv1.weight"`. `"keras"`: layer names and positions, such as
            `"conv2_block1_1_conv/0"`.
        arrays: What the file holds.
        key: Which of a file's dictionaries the arrays are from, if it has any.
        layers: Configurations of the layers by name, where the file has them.
    """

    path: Path
    layout: Literal["published", "keras"]
    arrays: dict[str, StoredArray]
    key: str | None = None
    layers: dict[str, dict] = field(default_factory=dict)
