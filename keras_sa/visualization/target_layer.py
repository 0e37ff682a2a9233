"""Which layer's maps are looked at."""

import difflib

import keras

from keras_sa.visualization.recording import Call
from keras_sa.visualization.recording import Recording

LISTED = 12


def find_target(recording: Recording, layer: str | keras.layers.Layer | None) -> Call:
    """The call of the layer whose output is looked at.

    Args:
        recording: Of the model, with any image.
        layer: The layer or its name. By default it is the last layer with a map of
            more than one position: in a ResNet the last block's output.

    Returns:
        The last call of that layer.

    Raises:
        ValueError: If there is no such layer, if there are several of the same
            name, or if its output is not a map; the message lists layers with maps.
    """
    calls = [call for call in recording.calls if _is_map(call)]
    if layer is None:
        for call in reversed(calls):
            if min(spatial_shape(call, recording)) > 1:
                return call
        raise ValueError(
            "`model` has no layer with a map of more than one position, so there is "
            "nothing to look at. Received: layer=None"
        )
    found = {
        id(call.operation): call
        for call in calls
        if layer is call.operation or layer == call.operation.name
    }
    if not found:
        names = list(dict.fromkeys(call.operation.name for call in calls))
        asked = getattr(layer, "name", layer)
        near = difflib.get_close_matches(str(asked), names, n=3)
        raise ValueError(
            "`layer` must be a layer of the model, or its name, with an output of "
            f"rank 4. Received: layer={layer!r}. "
            + (f"Did you mean one of {near}? " if near else "")
            + f"The last ones are {names[-LISTED:]}."
        )
    if len(found) > 1:
        raise ValueError(
            f"{len(found)} layers of the model have this name: give the layer itself, "
            f"as in `model.get_layer(...)`. Received: layer={layer!r}"
        )
    (call,) = found.values()
    return call


def spatial_shape(call: Call, recording: Recording) -> tuple[int, int]:
    """Height and width of a call's output."""
    if recording.data_format(call) == "channels_first":
        height, width = call.shape[2:]
    else:
        height, width = call.shape[1:3]
    return height, width


def _is_map(call):
    return len(call.shape) == 4
