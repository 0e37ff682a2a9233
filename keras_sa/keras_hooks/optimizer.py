"""What is replaced in an optimizer."""

import contextlib
import functools

import keras


def set_updates(optimizer: keras.optimizers.Optimizer, jit: bool = False) -> None:
    """Makes an optimizer take gradients that are all-reduced already.

    Clipping, overflow checks, accumulation and moving averages then see the whole
    batch's gradient, as they do on one device.

    Args:
        optimizer: The optimizer.
        jit: Whether XLA compiles clipping and the new weights. They are assigned
            outside, which works under every strategy.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    reduced = functools.partial(_apply_reduced_gradients, optimizer, jit)
    object.__setattr__(optimizer, "_all_reduce_sum_gradients", lambda pairs: pairs)
    object.__setattr__(optimizer, "_backend_apply_gradients", reduced)


def _apply_reduced_gradients(optimizer, jit, grads, trainable_variables):
    def update(grads):
        if jit and _is_ordinary(optimizer):
            _update_compiled(optimizer, grads, trainable_variables)
            return
        grads = optimizer._clip_gradients(grads)
        optimizer._apply_weight_decay(trainable_variables)
        optimizer._backend_update_step(
            grads, trainable_variables, optimizer.learning_rate
        )

    steps = optimizer.gradient_accumulation_steps
    if steps:
        sums = [
            optimizer._accumulated_gradients[optimizer._get_variable_index(v)]
            for v in trainable_variables
        ]

        def update_with_sums(grads):
            update([(g + s) / steps for g, s in zip(grads, sums, strict=True)])
            optimizer._backend_reset_gradient_accumulators()

        _cond_for_each_replica(
            lambda: (optimizer._iterations + 1) % steps == 0,
            update_with_sums,
            lambda grads: optimizer._backend_increment_gradient_accumulators(
                grads, sums
            ),
            grads,
        )
    else:
        update(grads)

    if optimizer.use_ema:
        variables = optimizer._trainable_variables
        optimizer._update_model_variables_moving_average(variables)
        if optimizer.ema_overwrite_frequency:
            _cond_across_replicas(
                lambda: (
                    (optimizer.iterations + 1) % optimizer.ema_overwrite_frequency == 0
                ),
                lambda: optimizer._overwrite_model_variables_with_average_value(
                    variables
                ),
            )


def _is_ordinary(optimizer):
    """Whether only its `update_step` is its own: Nadam has more, for example."""
    kind, keras_kind = type(optimizer), keras.optimizers.Optimizer
    return all(
        getattr(kind, name) is getattr(keras_kind, name)
        for name in ("_backend_update_step", "_apply_weight_decay", "assign")
    )


def _update_compiled(optimizer, grads, trainable_variables):
    import tensorflow as tf
    from keras.src.optimizers.base_optimizer import BaseOptimizer

    chosen = {id(variable) for variable in trainable_variables}
    variables = [
        *trainable_variables,
        *(v for v in optimizer.variables if id(v) not in chosen),
    ]
    keys = {id(variable): optimizer._var_key(variable) for variable in variables}
    changed: list[keras.Variable] = []

    def new_values(grads, values, learning_rate):
        scope = keras.StatelessScope(list(zip(variables, values, strict=True)))
        with scope, _without_strategy(optimizer, keys):
            grads = optimizer._clip_gradients(grads)
            BaseOptimizer._apply_weight_decay(optimizer, trainable_variables)
            BaseOptimizer._backend_update_step(
                optimizer, grads, trainable_variables, learning_rate
            )
        new = [scope.get_current_value(variable) for variable in variables]
        pairs = zip(variables, values, new, strict=True)
        found = [(v, now) for v, before, now in pairs if now is not before]
        changed[:] = [variable.value for variable, _ in found]
        return [value for _, value in found]

    compiled = tf.function(new_values, autograph=False, jit_compile=True)
    values = [tf.convert_to_tensor(variable.value) for variable in variables]
    found = compiled(
        [tf.convert_to_tensor(g) for g in grads],
        values,
        tf.convert_to_tensor(optimizer.learning_rate),
    )

    def assign(strategy, found):
        for variable, value in zip(changed, found, strict=True):
            strategy.extended.update(
                variable, lambda v, new: v.assign(new), args=(value,), group=False
            )

    tf.distribute.get_replica_context().merge_call(assign, args=(found,))


@contextlib.contextmanager
def _without_strategy(optimizer, keys):
    """Has an optimizer assign Keras' variables, as it does on other backends."""
    replaced = {
        "assign": lambda v, x: v.assign(keras.ops.cast(x, v.dtype)),
        "assign_add": lambda v, x: v.assign(v + keras.ops.cast(x, v.dtype)),
        "assign_sub": lambda v, x: v.assign(v - keras.ops.cast(x, v.dtype)),
        # In the scope their values are tensors, which have no key.
        "_var_key": lambda v: keys[id(v)],
    }
    for name, function in replaced.items():
        object.__setattr__(optimizer, name, function)
    try:
        yield
    finally:
        for name in replaced:
            optimizer.__dict__.pop(name, None)


def _cond_for_each_replica(predicate, true_fn, false_fn, grads):
    """A conditional whose branches run in every replica.

    The condition itself is entered once for all replicas: a branch inside a replica
    must not wait for the others.
    """
    import tensorflow as tf

    def branch(strategy, function, grads):
        strategy.extended.call_for_each_replica(function, args=(grads,))

    def across_replicas(strategy, grads):
        tf.cond(
            predicate(),
            lambda: branch(strategy, true_fn, grads),
            lambda: branch(strategy, false_fn, grads),
        )

    tf.distribute.get_replica_context().merge_call(across_replicas, args=(grads,))


def _cond_across_replicas(predicate, function):
    import tensorflow as tf

    def across_replicas(strategy):
        tf.cond(predicate(), lambda: function() and None, lambda: None)

    tf.distribute.get_replica_context().merge_call(across_replicas)
