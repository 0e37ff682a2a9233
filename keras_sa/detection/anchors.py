"""Anchor boxes of a feature pyramid."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class Anchors:
    """The anchors at every position of every level.

    An anchor's centre lies on the centre of the position's receptive field, whose
    corner is at `stride * index` with symmetric padding.

    Args:
        strides: Pixels between two positions, for each level.
        scales: Sides of the square anchors in strides.
        ratios: Heights over widths.
    """

    strides: Sequence[int]
    scales: Sequence[float]
    ratios: Sequence[float] = (0.5, 1.0, 2.0)

    @property
    def per_position(self) -> int:
        return len(self.scales) * len(self.ratios)

    def at_positions(self, level: int) -> np.ndarray:
        """The anchors around the origin, `(per_position, 4)`."""
        roots = np.sqrt(self.ratios)[:, np.newaxis]
        sides = self.strides[level] * np.asarray(self.scales)
        half = np.stack([sides / roots, sides * roots], -1).reshape(-1, 2) / 2
        return np.concatenate([-half, half], -1).astype("float32")

    def of_level(self, level: int, height, width):
        """The anchors of a map, `(height * width * per_position, 4)`, row by row."""
        stride = float(self.strides[level])
        x, y = tf.meshgrid(
            tf.range(width, dtype=tf.float32) * stride,
            tf.range(height, dtype=tf.float32) * stride,
        )
        origins = tf.stack([x, y, x, y], -1)[:, :, tf.newaxis]
        return tf.reshape(origins + self.at_positions(level), (-1, 4))

    def of_maps(self, maps) -> list:
        """The anchors of each level's map `(batch, height, width, channels)`."""
        shapes = [tf.shape(features) for features in maps]
        return [
            self.of_level(level, shape[1], shape[2])
            for level, shape in enumerate(shapes)
        ]
