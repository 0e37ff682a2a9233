"""How a model is built for its data, and its steps, which are replaced."""

from collections.abc import Callable

import keras


def build_from_spec(model: keras.Model, element_spec) -> None:
    """Builds metrics, loss and optimizer for batches of this `element_spec`.

    Args:
        model: A compiled model.
        element_spec: Of a `tf.data.Dataset` or a distributed one.
    """
    import tensorflow as tf

    # A value that is spread over replicas has one component for each.
    batch = keras.tree.map_structure(
        lambda spec: tf.nest.flatten(spec, expand_composites=True)[0], element_spec
    )
    with model.distribute_strategy.scope():
        model._symbolic_build(data_batch=batch)


def global_batch_size(dataset) -> int | None:
    """The batch size of a `tf.data.Dataset`, `None` if it does not tell."""
    from tensorflow.python.data.experimental.ops.distribute import compute_batch_size

    size = int(compute_batch_size(dataset))
    return size if size > 0 else None


def set_building(model: keras.Model) -> None:
    """Makes `fit`, `evaluate` and `predict` build from the data's specification."""

    def build(iterator=None, data_batch=None):
        if iterator is None:
            with model.distribute_strategy.scope():
                model._symbolic_build(data_batch=data_batch)
        else:
            build_from_spec(model, iterator._get_iterator().element_spec)

    object.__setattr__(model, "_maybe_symbolic_build", build)


def set_steps(model: keras.Model, **steps: Callable) -> None:
    """Replaces `train_step`, `test_step` and `predict_step` of one model."""
    for name, step in steps.items():
        # Not by setattr, which would look for layers in it.
        object.__setattr__(model, name, step)
    model.train_function = model.test_function = model.predict_function = None


def set_functions(model: keras.Model, begin: Callable[[str], None], jit) -> None:
    """Makes steps compile a part of themselves instead of being compiled whole.

    Args:
        model: A compiled model.
        begin: Called with `"train"`, `"test"` or `"predict"` when a `fit`, an
            `evaluate` or a `predict` begins.
        jit: Whether Keras may compile a whole step as the model says.
    """
    for kind in ("train", "test", "predict"):

        def make(force=False, kind=kind):
            begin(kind)
            wanted, before = model.jit_compile, model.train_function
            object.__setattr__(model, "_jit_compile", wanted and jit)
            try:
                getattr(type(model), f"make_{kind}_function")(model, force)
            finally:
                object.__setattr__(model, "_jit_compile", wanted)
            whole = model.run_eagerly or (wanted and jit)
            if model.train_function is not before and not whole:
                model.train_function = _without_waiting(model, model.train_function)

        object.__setattr__(model, f"make_{kind}_function", make)


def _without_waiting(model, train_function):
    """A function of an iterator that doesn't wait for the device after each step.

    Keras asks the device whether there was a batch before it returns. On a GPU the
    next step is then prepared while nothing is computed, a quarter of the time of a
    compiled ResNet-50; here the iterator's end tells.
    """
    import tensorflow as tf
    from keras.src.backend.tensorflow.trainer import reduce_per_replica

    if model.steps_per_execution > 1:
        return train_function
    strategy = model.distribute_strategy

    @tf.autograph.experimental.do_not_convert
    def step(iterator):
        outputs = strategy.run(model.train_step, args=(iterator.get_next(),))
        return reduce_per_replica(outputs, strategy, reduction="auto")

    step = tf.function(step, reduce_retracing=True, jit_compile=False)
    iterators = (tf.data.Iterator, tf.distribute.DistributedIterator)

    def run(iterator):
        if isinstance(iterator, iterators):
            return step(iterator)
        return train_function(iterator)

    return run
