"""Classifies image files with an exported SavedModel and TensorFlow alone.

    python classify_saved_model.py DIR/1 IMAGE...

prints one JSON line for each image. It shows what a server needs: neither keras_sa
nor Keras may be imported.
"""

import json
import sys
from pathlib import Path

for name in ("keras_sa", "keras"):
    sys.modules[name] = None  # type: ignore[assignment]

import tensorflow as tf  # noqa: E402


def main(directory: str, *paths: str) -> None:
    classify = tf.saved_model.load(directory).signatures["predict_bytes"]
    files = tf.constant([Path(path).read_bytes() for path in paths])
    outputs = {name: x.numpy() for name, x in classify(image_bytes=files).items()}
    for index, path in enumerate(paths):
        line = {
            "file": path,
            "valid": bool(outputs["valid"][index]),
            "label": outputs["labels"][index, 0].decode(),
            "score": round(float(outputs["scores"][index, 0]), 4),
        }
        print(json.dumps(line))


if __name__ == "__main__":
    main(*sys.argv[1:])
