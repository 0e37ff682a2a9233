"""The graph of a functional model as a list of calls that can be rewritten."""

from dataclasses import dataclass
from typing import Any

import keras

from keras_sa import keras_hooks


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor between two calls; equal only to itself."""

    shape: tuple[int | None, ...]
    dtype: str
    name: str


@dataclass(frozen=True, eq=False)
class Call:
    """A layer, or another Keras operation, called on values.

    Args:
        layer: What is called. It is shared with the traced model.
        args: Positional arguments, a structure with `Value`s as leaves.
        kwargs: Keyword arguments, likewise.
        results: What comes back, likewise.
    """

    layer: Any
    args: tuple
    kwargs: dict
    results: Any

    @property
    def inputs(self) -> list[Value]:
        leaves = keras.tree.flatten((self.args, self.kwargs))
        return [leaf for leaf in leaves if isinstance(leaf, Value)]

    @property
    def outputs(self) -> list[Value]:
        return keras.tree.flatten(self.results)


@dataclass(frozen=True)
class Graph:
    """The calls of a model in an order in which they can be made.

    Args:
        name: The model's name.
        inputs: The structure of the model's inputs, with `Value`s as leaves.
        outputs: The structure of its outputs, likewise.
        calls: The calls; nested models are dissolved into theirs.
    """

    name: str
    inputs: Any
    outputs: Any
    calls: list[Call]

    def producer(self, value: Value) -> Call | None:
        """The call that a value comes from, `None` for an input."""
        return next((call for call in self.calls if value in call.outputs), None)

    def build(self) -> keras.Model:
        """Calls all layers anew and returns the functional model."""
        tensors = {
            value: keras.Input(
                batch_shape=value.shape, dtype=value.dtype, name=value.name
            )
            for value in keras.tree.flatten(self.inputs)
        }
        layers = _uniquely_named(call.layer for call in self.calls)
        for call in self.calls:
            args, kwargs = substitute(tensors, (call.args, call.kwargs))
            results = layers[id(call.layer)](*args, **kwargs)
            tensors.update(zip(call.outputs, keras.tree.flatten(results), strict=True))
        return keras.Model(
            substitute(tensors, self.inputs),
            substitute(tensors, self.outputs),
            name=self.name,
        )


def is_functional(model) -> bool:
    """Whether the graph of a model can be read."""
    return isinstance(model, keras.Model) and bool(getattr(model, "inputs", None))


def trace(model: keras.Model) -> Graph:
    """Reads the graph of a functional or sequential model.

    Args:
        model: The model. It is not changed; its layers are shared with the graph.

    Returns:
        The graph, in which nested functional models are dissolved.

    Raises:
        ValueError: If the model is not functional, or sequential and not built.
    """
    if not is_functional(model):
        raise ValueError(
            "`model` must be a functional model, or a sequential one that is built. "
            f"Received: model={getattr(model, 'name', model)!r} of {type(model)}"
        )
    # A plain model around the same tensors: not compiled, never sequential.
    if isinstance(model, keras.Sequential):
        plain = keras.Model(model.inputs[0], model.outputs[0])
    else:
        plain = keras.Model(model.input, model.output)
    values: dict[int, Value] = {}
    # The keys are ids, so the tensors have to stay alive.
    tensors = []
    calls = []

    def value_of(tensor):
        if not keras.utils.is_keras_tensor(tensor):
            return tensor
        tensors.append(tensor)
        value = Value(tuple(tensor.shape), tensor.dtype, tensor.name)
        return values.setdefault(id(tensor), value)

    def values_of(structure):
        return keras.tree.map_structure(value_of, structure)

    def record(layer, *args, **kwargs):
        results = layer(*args, **kwargs)
        call = Call(layer, values_of(args), values_of(kwargs), values_of(results))
        calls.extend(_dissolved(call))
        return results

    copy = keras.models.clone_model(
        plain, clone_function=lambda layer: layer, call_function=record
    )
    return Graph(model.name, values_of(copy.input), values_of(copy.output), calls)


def _dissolved(call):
    """The calls of a nested model, on the values that the model was called on."""
    if not is_functional(call.layer):
        return [call]
    inner = trace(call.layer)
    outer = dict(zip(keras.tree.flatten(inner.inputs), call.inputs, strict=True))
    outer.update(zip(keras.tree.flatten(inner.outputs), call.outputs, strict=True))
    return [
        Call(
            inner_call.layer,
            *substitute(
                outer, (inner_call.args, inner_call.kwargs, inner_call.results)
            ),
        )
        for inner_call in inner.calls
    ]


def substitute(values: dict, structure):
    """The structure with its leaves replaced where `values` has them as keys."""
    return keras.tree.map_structure(
        lambda leaf: values.get(leaf, leaf) if isinstance(leaf, Value) else leaf,
        structure,
    )


def _uniquely_named(operations):
    """By their ids: the operations, as renamed copies where a name occurs twice."""
    unique = {}
    names = set()
    for operation in operations:
        if id(operation) in unique:
            continue
        name = operation.name
        if name in names:
            name = next(
                f"{name}_{n}" for n in range(1, 1000) if f"{name}_{n}" not in names
            )
            unique[id(operation)] = copy_layer(operation, name)
        else:
            unique[id(operation)] = operation
        names.add(name)
    return unique


def copy_layer(layer, name: str, **config):
    """A layer with the same weights under a name, and other changes of its config.

    Raises:
        ValueError: If it can't be made of its config.
    """
    try:
        copy = type(layer).from_config({**layer.get_config(), "name": name, **config})
    except (NotImplementedError, TypeError) as error:
        raise ValueError(
            f"The layer {layer.name!r} can't be copied: `{type(layer).__name__}` needs "
            "a `get_config` with all arguments of its `__init__`, `name` among them. "
            "Without it, the network can only be exported with `fused=False` "
            "(`--no-fused`)."
        ) from error
    if getattr(layer, "weights", None):
        _build_like(layer, copy)
        copy.set_weights(layer.get_weights())
        # An adapted `Normalization` computes with constants made of its weights.
        for part in keras_hooks.layers_of(copy, keras.layers.Layer):
            if hasattr(part, "finalize_state"):
                part.finalize_state()
    return copy


def _build_like(layer, copy):
    config = layer.get_build_config()
    if type(layer).build is keras.layers.Layer.build and "input_shape" in config:
        # Without a `build` of its own its parts are built by the first call.
        copy(keras.tree.map_shape_structure(keras.KerasTensor, config["input_shape"]))
    else:
        copy.build_from_config(config)
