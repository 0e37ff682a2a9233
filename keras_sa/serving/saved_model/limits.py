"""What an image file may cost a server."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageLimits:
    """What an image may cost; checked on its header, before it is decoded.

    Args:
        max_bytes: Length of the file.
        max_pixels: Height times width.
    """

    max_bytes: int = 16 * 2**20
    max_pixels: int = 25_000_000

    def __post_init__(self):
        for name, value in vars(self).items():
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1. Received: {value}")
