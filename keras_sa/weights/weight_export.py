"""Writing weights, for this package and for users of the PyTorch code."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_sa.utils.files import replacing
from keras_sa.weights import torch_writer
from keras_sa.weights.mapping import published_weights


def export_torch(model: keras.Model, path: str | Path) -> None:
    """Writes a `.pth` file that SA-Net's PyTorch code loads.

    The file holds `{"state_dict": ...}` with the names, the axes and the channel
    order of the published networks (torchvision's, without attention):
    `network.load_state_dict(torch.load(path, weights_only=True)["state_dict"])`.

    Args:
        model: A network of `AttentionResNet` with shuffle attention or without
            attention.
        path: Where to write. An existing file is replaced when all is written.

    Raises:
        ValueError: If the model has a weight without a published name.
    """
    state = {}
    for name, array in published_state(model).items():
        state[name] = array
        if name.endswith("running_var"):
            # PyTorch counts the batches too, but uses the count for no result.
            counter = name.replace("running_var", "num_batches_tracked")
            state[counter] = np.array(0)
    with replacing(path) as temporary:
        torch_writer.save(state, temporary)


def export_weights(model: keras.Model, path: str | Path) -> None:
    """Writes the weights of a model in the format that the path's ending says.

    Args:
        model: For `.weights.h5` and `.keras` any model, else one as in
            `export_torch`.
        path: Ends in `.pth`, `.pt`, `.pth.tar`, `.safetensors` or `.npz` (published
            names, axes and channel order), `.weights.h5` or `.keras`. An existing
            file is replaced when all is written.

    Raises:
        ValueError: If the ending is unknown or the model has a weight without a
            published name.
    """
    path = Path(path)
    write = next((WRITERS[end] for end in WRITERS if path.name.endswith(end)), None)
    if write is None:
        raise ValueError(
            f"The name of a weight file must end in one of {list(WRITERS)}. "
            f"Received: path={str(path)!r}"
        )
    write(model, path)


def published_state(model: keras.Model) -> dict[str, np.ndarray]:
    """The weights of a model by their published names, in the published layout."""
    return {
        name: weight.to_published(keras.ops.convert_to_numpy(weight.variable))
        for name, weight in published_weights(model).items()
    }


def _write_safetensors(model, path):
    from safetensors.numpy import save_file

    state = {
        name: np.ascontiguousarray(array)
        for name, array in published_state(model).items()
    }
    with replacing(path) as temporary:
        save_file(state, temporary)


def _write_npz(model, path):
    state: dict[str, Any] = published_state(model)
    with replacing(path) as temporary:
        np.savez(temporary, **state)


def _write_h5(model, path):
    with replacing(path) as temporary:
        model.save_weights(temporary)


def _write_keras(model, path):
    with replacing(path) as temporary:
        model.save(temporary)


WRITERS = {
    ".pth": export_torch,
    ".pt": export_torch,
    ".pth.tar": export_torch,
    ".safetensors": _write_safetensors,
    ".npz": _write_npz,
    ".weights.h5": _write_h5,
    ".keras": _write_keras,
}
