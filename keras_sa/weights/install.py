"""Installing weights that can't be downloaded."""

from pathlib import Path

import keras

from keras_sa.utils.files import replacing
from keras_sa.weights.download import cache_directory
from keras_sa.weights.download import digest_record
from keras_sa.weights.download import file_digest
from keras_sa.weights.registry import WEIGHTS
from keras_sa.weights.weight_export import export_weights
from keras_sa.weights.weight_export import published_state

# Blocks of a network, all stages together, by its depth.
BLOCKS = {16: 50, 33: 101}


def install_weights(model: keras.Model) -> Path:
    """Puts a model's weights where `weights="sa_imagenet"` finds them.

    The file's SHA-256 is written down beside it and compared at every use.

    Args:
        model: An SA-ResNet as published: 1000 classes, 64 groups.

    Returns:
        The path of the new file.

    Raises:
        ValueError: If the model is another network than the published ones.
    """
    state = published_state(model)
    blocks = sum(name.endswith(".sa.cweight") for name in state)
    name = f"sa_resnet{BLOCKS.get(blocks)}"
    size = state.get("layer1.0.sa.gn.weight", ())
    head = state.get("fc.bias", ())
    if name not in WEIGHTS or len(size) != 2 or len(head) != 1000:
        raise ValueError(
            "Only the published networks can be installed: SA-ResNet-50 and -101 "
            "with 64 groups and 1000 classes. Received: a network with "
            f"{blocks} blocks with shuffle attention and {len(head)} classes"
        )
    path = cache_directory() / WEIGHTS[name].file
    export_weights(model, path)
    with replacing(digest_record(path)) as record:
        record.write_text(f"{file_digest(path)}\n")
    return path
