"""Names for what layers take and return; Keras has no types for it."""

from collections.abc import Sequence
from typing import Any
from typing import Literal

# Of Keras' backend, or symbolic.
Tensor = Any
Shape = Sequence[int | None]
DataFormat = Literal["channels_last", "channels_first"]
