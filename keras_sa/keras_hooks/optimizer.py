"""What is replaced in an optimizer."""

import functools

import keras


def set_updates(optimizer: keras.optimizers.Optimizer) -> None:
    """Makes an optimizer take gradients that are all-reduced already.

    Clipping, overflow checks, accumulation and moving averages then see the whole
    batch's gradient, as they do on one device.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    reduced = functools.partial(_apply_reduced_gradients, optimizer)
    object.__setattr__(optimizer, "_all_reduce_sum_gradients", lambda pairs: pairs)
    object.__setattr__(optimizer, "_backend_apply_gradients", reduced)


def _apply_reduced_gradients(optimizer, grads, trainable_variables):
    def update(grads):
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
