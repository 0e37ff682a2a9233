"""A network as a TensorFlow function in which all but the images is constant."""

import keras


def constant_function(model: keras.Model):
    """A network's inference as a function without variables and captured tensors.

    What a model's graph has from outside, such as the mean of a `Normalization` or
    an array that is subtracted, would become further inputs in other formats.

    Args:
        model: A functional model with one input and one output.

    Returns:
        A `tf.function` from `images`, of the model's shape and type, to
        `{"predictions": ...}`.

    Raises:
        ValueError: If the model has variables that Keras does not know.
    """
    import tensorflow as tf

    images = tf.TensorSpec(model.inputs[0].shape, model.inputs[0].dtype, "images")
    weights = [(v, keras.ops.convert_to_numpy(v)) for v in model.variables]

    @tf.function(input_signature=[images])
    def with_captures(images):
        with keras.StatelessScope([(v, tf.constant(array)) for v, array in weights]):
            return model(images, training=False)

    traced = with_captures.get_concrete_function()
    graph = traced.graph.as_graph_def()
    placeholder, *outer = [tensor.name for tensor in traced.inputs]
    captured = traced.captured_inputs
    if any(tensor.dtype == tf.resource for tensor in captured):
        raise ValueError(
            "Every variable of `model` must be a weight of a Keras layer. Received: "
            f"model={model.name!r} with a variable or table of TensorFlow's"
        )

    @tf.function(input_signature=[images])
    def constant(images):
        inputs = {placeholder: images}
        for name, tensor in zip(outer, captured, strict=True):
            inputs[name] = tf.constant(tensor.numpy())
        (output,) = tf.graph_util.import_graph_def(
            graph, inputs, [traced.outputs[0].name], name=""
        )
        output.set_shape(traced.outputs[0].shape)
        return {"predictions": output}

    return constant
