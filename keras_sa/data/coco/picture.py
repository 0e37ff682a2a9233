"""A picture of shapes that knows what is seen of each of them."""

import numpy as np

from keras_sa.data.coco.rle import rle_encode

# Category ids have gaps, as COCO's have.
CATEGORIES = {3: "disc", 7: "square", 18: "triangle"}
CORNERS = {3: 24, 7: 4, 18: 3}
# How much of an object must stay visible, in pixels and as a share.
MIN_VISIBLE, MIN_SHARE = 24, 0.5


class Picture:
    """A picture to which objects are added, later ones in front.

    Args:
        random: Where all its numbers come from.
        size: See `Shapes`.
    """

    def __init__(self, random: np.random.Generator, size: int):
        self.random = random
        self.height, self.width = random.integers(size * 3 // 4, size * 5 // 4, 2)
        self.objects: list[dict] = []
        rows, columns = np.mgrid[: self.height, : self.width] + 0.5
        self.points = np.stack([columns, rows], axis=-1)
        slope = random.uniform(-60, 60, (2, 3)) / size
        self.pixels = random.uniform(40, 215, 3) + (self.points - size / 2) @ slope
        self.pixels += random.normal(0, 8, self.pixels.shape)

    def add_object(self) -> None:
        """Adds a shape where it hides none of the others too much, if it can."""
        short = min(self.height, self.width)
        for _ in range(20):
            category = int(self.random.choice(list(CATEGORIES)))
            radius = short * self.random.uniform(0.08, 0.28)
            polygon = self._polygon(category, radius)
            cover = self._cover(polygon)
            mask = cover > 0.5
            if all(_stays_visible(each, mask) for each in self.objects):
                self._paint(cover)
                self._hide(mask)
                self._append(category, mask, polygon=polygon)
                return

    def add_crowd(self) -> None:
        """Adds many small discs that are annotated together."""
        visible = np.zeros((self.height, self.width), bool)
        for _ in range(12):
            cover = self._cover(self._polygon(3, 5.0, spread=0.3))
            self._paint(cover)
            visible |= cover > 0.5
        self._append(3, visible, crowd=True)

    def annotations(self) -> list[dict]:
        """The objects in COCO's form, without ids."""
        return [_annotation(each) for each in self.objects]

    def _append(self, category, visible, polygon=None, crowd=False):
        self.objects.append(
            {
                "category_id": category,
                "visible": visible,
                "pixels": visible.sum(),
                "polygon": polygon,
                "crowd": crowd,
            }
        )

    def _polygon(self, category, radius, spread=1.0):
        """Corners `(n, 2)` of x and y; the whole shape is in the picture."""
        corners = CORNERS[category]
        angles = self.random.uniform(0, 2 * np.pi) + np.arange(corners) * (
            2 * np.pi / corners
        )
        size = np.array([self.width, self.height])
        room = (size / 2 - radius) * spread
        center = size / 2 + self.random.uniform(-room, room)
        directions = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        return np.round(center + radius * directions, 2)

    def _cover(self, polygon):
        """How much of each pixel a convex polygon covers, nearly."""
        following = np.roll(polygon, -1, axis=0)
        edges = following - polygon
        inward = np.stack([-edges[:, 1], edges[:, 0]], axis=-1)
        inward /= np.linalg.norm(inward, axis=1, keepdims=True)
        distances = self.points @ inward.T - (polygon * inward).sum(axis=1)
        return np.clip(distances.min(axis=-1) + 0.5, 0, 1)

    def _paint(self, cover):
        # Far enough from what is there to be seen.
        color = (self.pixels.mean((0, 1)) + self.random.uniform(60, 195, 3)) % 255
        texture = color + self.random.normal(0, 8, self.pixels.shape)
        self.pixels += cover[:, :, np.newaxis] * (texture - self.pixels)

    def _hide(self, mask):
        for each in self.objects:
            if (each["visible"] & mask).any():
                each["visible"] = each["visible"] & ~mask
                each["polygon"] = None


def _stays_visible(each, mask):
    left = (each["visible"] & ~mask).sum()
    return left >= max(MIN_VISIBLE, MIN_SHARE * each["pixels"])


def _annotation(each):
    visible = each["visible"]
    polygon = each.get("polygon")
    if polygon is None:
        rows, columns = np.nonzero(visible)
        low = np.array([columns.min(), rows.min()])
        high = np.array([columns.max(), rows.max()]) + 1
        segmentation = rle_encode(visible)
    else:
        low, high = polygon.min(axis=0), polygon.max(axis=0)
        segmentation = [polygon.ravel().tolist()]
    return {
        "category_id": each["category_id"],
        "bbox": [round(float(number), 2) for number in (*low, *(high - low))],
        "area": int(visible.sum()),
        "segmentation": segmentation,
        "iscrowd": int(each["crowd"]),
    }
