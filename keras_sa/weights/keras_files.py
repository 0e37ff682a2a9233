"""The weights in Keras' own files, by the names of the layers."""

import functools
import io
import json
import zipfile
from contextlib import contextmanager
from typing import Any

import keras

from keras_sa.weights.stored import Checkpoint
from keras_sa.weights.stored import StoredArray

WEIGHTS_MEMBER = "model.weights.h5"
CONFIG_MEMBER = "config.json"
# State of the training, which is no part of the network.
TRAINING_STATE = ("optimizer",)
# Keras writes the parts of a file unpacked; a part that grows much is an attack.
MAX_EXPANSION = 20
EXPANSION_FLOOR = 2**28


@contextmanager
def read_h5(path, key):
    """Opens a `.weights.h5` file as a `Checkpoint`."""
    import h5py

    with h5py.File(path, "r") as file:
        yield Checkpoint(path, "keras", _stored_arrays(file))


@contextmanager
def read_keras(path, key):
    """Opens the weights of a `.keras` file as a `Checkpoint`.

    The configuration is read as data; no layer is made from it.
    """
    import h5py

    with zipfile.ZipFile(path) as archive:
        config = json.loads(_member(archive, CONFIG_MEMBER))
        content = io.BytesIO(_member(archive, WEIGHTS_MEMBER))
    scripted = _lambdas(config)
    if scripted:
        raise ValueError(f"it holds Python code, in {scripted}")
    layers = {
        layer["config"]["name"]: layer
        for layer in config.get("config", {}).get("layers", [])
    }
    with h5py.File(content, "r") as file:
        yield Checkpoint(path, "keras", _stored_arrays(file), layers=layers)


def _member(archive, name):
    info = archive.getinfo(name)
    if info.file_size > max(EXPANSION_FLOOR, MAX_EXPANSION * info.compress_size):
        raise ValueError(
            f"its part {name!r} of {info.compress_size} bytes says that it has "
            f"{info.file_size} when it is unpacked"
        )
    return archive.read(info)


def _lambdas(config):
    """The names of the Lambda layers and functions anywhere in a configuration."""
    if isinstance(config, list):
        return [name for part in config for name in _lambdas(part)]
    if not isinstance(config, dict):
        return []
    if config.get("class_name") in ("Lambda", "__lambda__"):
        return [config.get("name") or config["class_name"]]
    return [name for part in config.values() for name in _lambdas(part)]


def _stored_arrays(file):
    arrays: dict[str, StoredArray] = {}
    _collect(file, "", arrays, set())
    return arrays


def _collect(group, prefix, arrays, seen):
    """Adds the arrays of a saved model or layer and of the layers in it.

    Keras stores a layer's arrays in the group `vars` and numbers the layers of a
    model by class; the layer's name is an attribute of `vars`.
    """
    import h5py

    address = h5py.h5o.get_info(group.id).addr
    if address in seen:
        raise ValueError(f"{group.name} is in the file twice or in itself")
    seen.add(address)
    for part in group:
        link = group.get(part, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise ValueError(
                f"{group.name}/{part} is a {type(link).__name__} to somewhere else"
            )
        child = group[part]
        if isinstance(child, h5py.Dataset):
            if child.external or child.is_virtual:
                raise ValueError(f"the data of {child.name} is in another file")
            arrays[prefix + part] = StoredArray(
                child.shape, str(child.dtype), functools.partial(child.__getitem__, ())
            )
        elif part in ("vars", "layers"):
            _collect(child, prefix, arrays, seen)
        elif prefix or part not in TRAINING_STATE:
            name = _layer_name(group, child, part)
            _collect(child, f"{prefix}{name}/", arrays, seen)


def _layer_name(group, child, part):
    in_model = group.name.rpartition("/")[2] == "layers"
    if in_model and "vars" in child and "name" in child["vars"].attrs:
        return str(child["vars"].attrs["name"])
    return part


def keras_variables(model: keras.Model, names: list[str]) -> dict[str, keras.Variable]:
    """The variables of a model by their names in a Keras file.

    Args:
        model: Any model whose layers have unique names.
        names: Names of a `Checkpoint` in the Keras layout, such as
            `"conv1_bn/0"` or, for a layer inside a layer, `"block/reduce/0"`.

    Returns:
        The variable of every name that the model has.
    """
    variables = {}
    for name in names:
        *parts, position = name.split("/")
        owner = model
        for part in parts:
            owner = _part_of(owner, part)
        if owner is None or not hasattr(owner, "save_own_variables"):
            continue
        own: dict[str, Any] = {}
        owner.save_own_variables(own)
        if position in own:
            variables[name] = own[position]
    return variables


def _part_of(owner, part):
    if isinstance(owner, keras.Model):
        return next((layer for layer in owner.layers if layer.name == part), None)
    return getattr(owner, part, None)
