"""The end of a classifier: where its embedding is and whether it gives logits."""

from dataclasses import dataclass
from dataclasses import replace

import keras

from keras_sa.serving.fusion.graph import trace

LOGITS = {"softmax": False, "sigmoid": False, "linear": True}


@dataclass(frozen=True)
class Classifier:
    """A classifier with its embedding as a second output.

    Args:
        network: A `keras.Model` with the outputs `[features, predictions]`.
        classes: Number of classes.
        activation: What the predictions still need, `"softmax"` or `"sigmoid"`, or
            `None` if they are probabilities.
    """

    network: keras.Model
    classes: int
    activation: str | None


def find_head(
    model: keras.Model, from_logits: bool | None = None, multi_label: bool = False
) -> Classifier:
    """Finds the last dense layer; its input is the embedding.

    Args:
        model: A functional model with one input and one output `(batch, classes)`.
            It may be nested.
        from_logits: What the predictions are, if it is known.
        multi_label: Whether logits need a sigmoid each.

    Returns:
        The classifier. Its layers are shared with `model`.

    Raises:
        ValueError: If the model is not such a classifier, its last activation does
            not tell what the predictions are, or it is a softmax and `multi_label` is
            true.
    """
    graph = trace(model)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            "`model` must have one input and one output. Received: model="
            f"{model.name!r} with {len(model.inputs)} and {len(model.outputs)}"
        )
    (output,) = keras.tree.flatten(graph.outputs)
    if len(output.shape) != 2 or output.shape[1] is None:
        raise ValueError(
            "The output of `model` must have the shape (batch, classes). "
            f"Received: {output.shape}"
        )
    call = graph.producer(output)
    activations = []
    while call is None or not isinstance(call.layer, keras.layers.Dense):
        if (
            call is None
            or len(call.inputs) != 1
            or call.inputs[0].shape != output.shape
        ):
            raise ValueError(
                "`model` must end in a dense layer, with or without an activation "
                "behind it. "
                f"Received: model={model.name!r}, which ends in {call and call.layer}"
            )
        activations.append(_activation_name(call.layer))
        call = graph.producer(call.inputs[0])
    activations.append(_activation_name(call.layer))
    if multi_label and "softmax" in activations:
        raise ValueError(
            "The model's softmax gives one class for each image. "
            "Received: multi_label=True"
        )
    if from_logits is None:
        from_logits = _is_logits(activations)
    activation = None
    if from_logits:
        # With one class a softmax would always give 1.
        several = output.shape[1] > 1 and not multi_label
        activation = "softmax" if several else "sigmoid"
    embedding = call.inputs[0]
    graph = replace(graph, outputs=[embedding, output])
    return Classifier(graph.build(), output.shape[1], activation)


def _activation_name(layer):
    # Of a layer, or of an operation or layer that is one itself.
    function = getattr(layer, "activation", None)
    return getattr(function, "__name__", type(layer).__name__.lower())


def _is_logits(activations):
    last = next((name for name in activations if name != "linear"), "linear")
    if last not in LOGITS:
        raise ValueError(
            "Say with `from_logits` (`--from-logits` or `--no-from-logits`) whether "
            "the outputs still need a softmax or sigmoid: the last activation is "
            f"{last!r}, not one of {list(LOGITS)}."
        )
    return LOGITS[last]
