"""Hostile image files against an exported model, mixed with good ones.

Nothing may crash it, no file may be wrongly valid, and the good images' answers may
not depend on their neighbours.
"""

import io
import random
import struct
import time
from pathlib import Path
from typing import Annotated

import typer

KINDS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
TOLERANCE = 1e-6
MAX_BATCH = 12
GOOD = 4


def fuzz(
    directory: Annotated[Path, typer.Argument(help="A version of an exported model.")],
    payloads: Annotated[int, typer.Option(help="How many hostile ones.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Of the generator.")] = 0,
) -> None:
    """Sends hostile payloads in batches of random sizes until one does harm."""
    import tensorflow as tf

    model = tf.saved_model.load(str(directory))
    start = time.monotonic()
    result = attack(model.signatures["predict_bytes"], payloads, seed)
    typer.echo(
        f"{result['payloads']} payloads in {result['batches']} batches, "
        f"{time.monotonic() - start:.0f} s: {result['still_images']} of them are still "
        f"images, {result['refused_types']} of a wrong type were refused; good images "
        f"differ by at most {result['difference']:.1e}; no harm done"
    )


def attack(predict, payloads: int, seed: int = 0) -> dict:
    """Mixes generated payloads with good images and checks every answer.

    Args:
        predict: A `predict_bytes` signature.
        payloads: How many hostile payloads are sent.
        seed: Of the generator.

    Returns:
        What was sent and the largest difference of a good image's probabilities.

    Raises:
        RuntimeError: If an answer is wrong.
    """
    import numpy as np
    import tensorflow as tf

    generator = random.Random(seed)
    good = [_image_file(generator, kind) for kind in KINDS[:GOOD]]
    alone = np.concatenate(
        [predict(image_bytes=tf.constant([file]))["probabilities"] for file in good]
    )
    result = dict.fromkeys(("payloads", "batches", "still_images", "refused_types"), 0)
    worst = 0.0
    while result["payloads"] < payloads:
        result["batches"] += 1
        if generator.random() < 0.02:
            _refuses_wrong_types(predict, generator)
            result["refused_types"] += 1
            result["payloads"] += 1
            continue
        # Sometimes nothing at all.
        count = min(generator.randint(0, MAX_BATCH), payloads - result["payloads"])
        entries: list[tuple[bytes, int | None]] = [
            (hostile(generator), None) for _ in range(count)
        ]
        entries += [(good[i], i) for i in range(GOOD) if generator.random() < 0.3]
        generator.shuffle(entries)
        files = [file for file, _ in entries]
        answer = predict(image_bytes=tf.constant(files, tf.string))
        valid = answer["valid"].numpy()
        probabilities = answer["probabilities"].numpy()
        for (file, index), is_valid, row in zip(
            entries, valid, probabilities, strict=True
        ):
            if index is not None:
                worst = max(worst, float(abs(row - alone[index]).max()))
                _check(is_valid and worst <= TOLERANCE, "good image changed", file)
            elif is_valid:
                result["still_images"] += 1
                _check(_could_be_an_image(file), "valid without a decoder", file)
                _check(np.isfinite(row).all(), "not finite", file)
            else:
                _check(not row.any(), "not zero though not valid", file)
        result["payloads"] += count
    return {**result, "difference": worst}


def _check(condition, what, file):
    if not condition:
        raise RuntimeError(f"{what}: {len(file)} bytes, {file[:64]!r}")


def _could_be_an_image(file):
    """Whether TensorFlow's decoder alone takes the file too."""
    import tensorflow as tf

    try:
        tf.io.decode_image(file, channels=3, expand_animations=False)
    except tf.errors.InvalidArgumentError:
        # The server reads the first frame of a GIF whose later ones are broken.
        return file.startswith(b"GIF8")
    return True


def _refuses_wrong_types(predict, generator):
    import tensorflow as tf

    wrong = generator.choice(
        [
            tf.zeros((2,)),
            tf.constant(3),
            tf.constant("scalar"),
            tf.constant([["rank", "two"]]),
            tf.zeros((1, 8, 8, 3), tf.uint8),
        ]
    )
    try:
        predict(image_bytes=wrong)
    except (TypeError, ValueError, tf.errors.InvalidArgumentError):
        return
    raise RuntimeError(f"A wrong type was answered: {wrong.dtype}, {wrong.shape}")


def hostile(generator: random.Random) -> bytes:
    """One payload."""
    return generator.choice(ATTACKS)(generator)


def _image_file(generator, kind=None) -> bytes:
    import numpy as np

    from keras_sa.utils.extras import require_extra

    image = require_extra("PIL.Image", "benchmark")
    height, width = generator.randint(1, 64), generator.randint(1, 64)
    pixels = np.frombuffer(generator.randbytes(height * width * 3), "uint8")
    buffer = io.BytesIO()
    picture = image.fromarray(pixels.reshape(height, width, 3))
    picture.save(buffer, kind or generator.choice(KINDS))
    return buffer.getvalue()


def _random_bytes(generator):
    return generator.randbytes(generator.randint(0, 4096))


def _signature_and_noise(generator):
    signatures = (
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"BM",
        b"RIFF\0\0\0\0WEBPVP8 ",
    )
    return generator.choice(signatures) + _random_bytes(generator)


def _truncated(generator):
    file = _image_file(generator)
    return file[: generator.randrange(len(file))]


def _flipped(generator):
    file = bytearray(_image_file(generator))
    for _ in range(generator.choice((1, 1, 2, 8, 64))):
        file[generator.randrange(len(file))] ^= 1 << generator.randrange(8)
    return bytes(file)


def _flipped_header(generator):
    file = bytearray(_image_file(generator))
    for _ in range(generator.randint(1, 4)):
        file[generator.randrange(min(64, len(file)))] = generator.randrange(256)
    return bytes(file)


def _spliced(generator):
    first, second = _image_file(generator), _image_file(generator)
    cut = generator.randrange(len(first))
    return first[:cut] + second[generator.randrange(len(second)) :]


def _huge_png(generator):
    side = generator.choice((20_000, 65_535, 2**31 - 1))
    file = bytearray(_image_file(generator, "PNG"))
    file[16:24] = struct.pack(">II", side, side)
    return bytes(file)


def _huge_bmp(generator):
    file = bytearray(_image_file(generator, "BMP"))
    file[18:26] = struct.pack("<ii", generator.choice((2**31 - 1, 60_000)), -60_000)
    return bytes(file)


def _huge_gif(generator):
    file = bytearray(_image_file(generator, "GIF"))
    file[6:10] = b"\xff\xff\xff\xff"
    return bytes(file)


def _empty(generator):
    return b""


ATTACKS = (
    _random_bytes,
    _signature_and_noise,
    _truncated,
    _flipped,
    _flipped_header,
    _spliced,
    _huge_png,
    _huge_bmp,
    _huge_gif,
    _empty,
)


if __name__ == "__main__":
    typer.run(fuzz)
