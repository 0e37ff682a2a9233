"""Networks in another floating type."""

from dataclasses import replace

import keras

from keras_sa.serving.fusion.graph import copy_layer
from keras_sa.serving.fusion.graph import trace

POLICIES = {"bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def with_precision(model: keras.Model, precision: str) -> keras.Model:
    """Copies a network so that its maps are in a 16-bit type.

    Weights and the statistics of attention layers stay in float32, and so do the
    dense layers and the layers that make the outputs.

    Args:
        model: A functional model.
        precision: `"bfloat16"` or `"float16"`.

    Returns:
        A functional `keras.Model` with float32 inputs and outputs.

    Raises:
        ValueError: If the precision is unknown.
    """
    if precision not in POLICIES:
        raise ValueError(
            f"`precision` must be one of {list(POLICIES)}. "
            f"Received: precision={precision!r}"
        )
    graph = trace(model)
    outputs = keras.tree.flatten(graph.outputs)
    copies = {}
    for call in graph.calls:
        layer = call.layer
        if isinstance(layer, keras.layers.Layer) and id(layer) not in copies:
            kept = isinstance(layer, keras.layers.Dense | keras.layers.Softmax)
            kept = kept or any(value in outputs for value in call.outputs)
            dtype = "float32" if kept else POLICIES[precision]
            copies[id(layer)] = copy_layer(layer, layer.name, dtype=dtype)
    calls = [
        replace(call, layer=copies.get(id(call.layer), call.layer))
        for call in graph.calls
    ]
    return replace(graph, calls=calls).build()
