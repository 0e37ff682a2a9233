"""Files as cameras write them: turned, with an EXIF orientation that says how."""

import io

import numpy as np
from PIL import Image
from PIL import ImageOps

ORIENTATIONS = range(1, 9)
TAG = 0x0112
# What keeps pixels as they are, as far as the format can.
OPTIONS = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}


def camera_photo(pixels, orientation, kind="JPEG"):
    """A file of this EXIF orientation in which a person sees `pixels`."""
    # The one of these four turns that is not its own inverse.
    undone = {6: 8, 8: 6}.get(orientation, orientation)
    stored = ImageOps.exif_transpose(_with(Image.fromarray(pixels), undone))
    exif = Image.Exif()
    exif[TAG], exif[0x010F] = orientation, "a camera"
    buffer = io.BytesIO()
    stored.save(buffer, kind, exif=exif, **OPTIONS.get(kind, {}))
    return buffer.getvalue()


def _with(image, orientation):
    image.getexif()[TAG] = orientation
    return image


def as_pillow_shows(contents):
    """The picture of a file, uint8 `(height, width, 3)`."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(contents)))
    return np.asarray(image.convert("RGB"))
