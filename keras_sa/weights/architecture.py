"""Which network a weight file belongs to."""

import re
from pathlib import Path

from keras_sa.weights.mapping import published_arrays
from keras_sa.weights.stored import StoredArray
from keras_sa.weights.weight_files import open_checkpoint

BLOCK = re.compile(r"layer(\d+)\.(\d+)\.")
EXPANSION = 4
STEMS = {7: "imagenet", 3: "small"}


def read_architecture(path: str | Path, key: str | None = None) -> dict:
    """The arguments of `AttentionResNet` for a weight file.

    Args:
        path: The file, as for `load_checkpoint`.
        key: Which of the dictionaries in a PyTorch file to take.

    Returns:
        `attention` (`"sa"` or `None`), `blocks`, `width`, `bottleneck_width`,
        `stem`, `channels` (of the images), `include_top`, and where they apply
        `classes`, `groups` and `shuffle`. Only a `.keras` file says whether its
        attention shuffles.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If the format needs a package that is not installed.
        ValueError: If the file can't be read or holds another kind of network.
    """
    with open_checkpoint(path, key) as checkpoint:
        arrays = checkpoint.arrays
        if checkpoint.layout == "keras":
            arrays = published_arrays(arrays)
        arguments = _arguments(arrays)
        shuffles = {
            layer["config"]["shuffle"]
            for layer in checkpoint.layers.values()
            if layer["class_name"] == "ShuffleAttention"
        }
    if shuffles:
        (arguments["shuffle"],) = shuffles
    return arguments


def _arguments(arrays: dict[str, StoredArray]) -> dict:
    shapes = {name: array.shape for name, array in arrays.items()}
    blocks: dict[int, int] = {}
    for name in shapes:
        match = BLOCK.match(name)
        if match:
            stage, block = int(match[1]), int(match[2])
            blocks[stage] = max(blocks.get(stage, 0), block + 1)
    try:
        width, channels, kernel, _ = shapes["conv1.weight"]
        inner = shapes["layer1.0.conv1.weight"][0]
        outer = shapes["layer1.0.conv3.weight"][0]
        arguments = {
            "attention": None,
            "blocks": tuple(blocks[stage] for stage in range(1, len(blocks) + 1)),
            "width": width,
            "bottleneck_width": inner,
            "stem": STEMS[kernel],
            "channels": channels,
            "include_top": "fc.weight" in shapes,
        }
        if arguments["include_top"]:
            arguments["classes"] = shapes["fc.weight"][0]
        if any(".sa." in name for name in shapes):
            (size,) = shapes["layer1.0.sa.gn.weight"]
            arguments.update(attention="sa", groups=outer // (2 * size))
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        raise ValueError(
            "These are not the weights of a ResNet with bottlenecks, plain or with "
            f"shuffle attention: {error!r}"
        ) from error
    if outer != EXPANSION * width:
        raise ValueError(
            f"The blocks of these weights have {outer} output channels where a "
            f"ResNet with {width} channels after the stem has {EXPANSION * width}."
        )
    return arguments
