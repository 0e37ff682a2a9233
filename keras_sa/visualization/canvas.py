"""Figures without a display, and what is drawn on them."""

import functools
import io
from typing import TYPE_CHECKING
from typing import Any

import keras
import numpy as np

from keras_sa.layers.tensor_types import DataFormat
from keras_sa.utils.extras import require_extra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXTRA = "visualization"
NOTEBOOK_DPI = 80
# The least range of gates that the colours cover.
GATE_SPAN = 0.02


def new_figure(width: float, height: float) -> "Figure":
    """An empty `matplotlib.figure.Figure` of this size in inches.

    A notebook shows it where it is the last line of a cell.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    return _figure_class()(figsize=(width, height), layout="constrained")


@functools.cache
def _figure_class():
    # Without pyplot: no display is needed and nothing is left open.
    figure_class: Any = require_extra("matplotlib.figure", EXTRA).Figure

    class Figure(figure_class):
        def _repr_png_(self):
            # Only pyplot would make notebooks draw a figure by themselves.
            buffer = io.BytesIO()
            self.savefig(buffer, format="png", dpi=NOTEBOOK_DPI)
            return buffer.getvalue()

    return Figure


def figure_pixels(figure: "Figure", dpi: int = 100) -> np.ndarray:
    """A figure as a uint8 array `(height, width, 3)`."""
    backend = require_extra("matplotlib.backends.backend_agg", EXTRA)
    figure.set_dpi(dpi)
    canvas = backend.FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def displayable(
    images: np.ndarray, data_format: DataFormat | None = None
) -> np.ndarray:
    """Images of any range, such as normalised ones, as RGB in 0..1.

    Args:
        images: A batch with one or three channels. Each image is stretched to 0..1
            as a whole, except for uint8 images, which are only divided by 255.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.

    Returns:
        A float32 array `(batch, height, width, 3)`.

    Raises:
        ValueError: If the images have another rank or number of channels.
    """
    images = np.asarray(images)
    if (data_format or keras.config.image_data_format()) == "channels_first":
        images = np.moveaxis(images, 1, -1)
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            "`images` must be a batch of images with one or three channels. "
            f"Received: shape={images.shape}"
        )
    if images.dtype == np.uint8:
        images = images.astype("float32") / 255
    else:
        images = images.astype("float32")
        low = images.min(axis=(1, 2, 3), keepdims=True)
        span = images.max(axis=(1, 2, 3), keepdims=True) - low
        images = (images - low) / np.where(span > 0, span, 1)
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images


def overlay(
    images: np.ndarray,
    maps: np.ndarray,
    strength: float = 0.5,
    colormap: str = "inferno",
    data_format: DataFormat | None = None,
) -> np.ndarray:
    """Lays heat maps over images.

    Args:
        images: See `displayable`.
        maps: `(batch, height, width)` in 0..1, such as those of `grad_cam`.
        strength: How much of the result is the map, in 0..1.
        colormap: A name that matplotlib knows. The default grows lighter with the
            map, so that it can be read without telling colours apart.
        data_format: Of the images.

    Returns:
        A uint8 array `(batch, height, width, 3)`.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If images and maps differ in size.
    """
    images, maps = displayable(images, data_format), np.asarray(maps)
    if images.shape[:3] != maps.shape:
        raise ValueError(
            "`images` and `maps` must have the same number, height and width. "
            f"Received: shapes {images.shape} and {maps.shape}"
        )
    colours = require_extra("matplotlib", EXTRA).colormaps[colormap](maps)[..., :3]
    mixed = (1 - strength) * images + strength * colours
    return np.round(255 * mixed).astype("uint8")


def draw_image(axes, image, title="", **options):
    """Draws an image or map without ticks."""
    axes.imshow(image, **options)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=9)


def draw_gate(axes, gate: np.ndarray, name: str) -> None:
    """Draws the mean of a gate `(height, width, channels)` over its channels.

    A gate that is the same everywhere is drawn as a curve of its channels.
    """
    if gate.shape[:2] == (1, 1):
        values = np.sort(gate[0, 0])
        axes.plot(np.linspace(0, 1, len(values)), values, color="C0")
        axes.set_xticks([])
        axes.tick_params(labelsize=7)
        axes.set_xlabel("channels, sorted", fontsize=8)
    else:
        values = gate.mean(axis=-1)
        # Differences of less than a percent must not look like contrasts.
        low = min(values.min(), values.mean() - GATE_SPAN / 2)
        high = max(values.max(), values.mean() + GATE_SPAN / 2)
        draw_image(axes, values, cmap="viridis", vmin=low, vmax=high)
    axes.set_title(f"{name}\n{values.min():.3f} to {values.max():.3f}", fontsize=9)
