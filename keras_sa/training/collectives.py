"""Sums over the replicas."""

from contextlib import nullcontext


def all_reduce_sum(values):
    """The sum over all replicas of a tensor or a list of tensors.

    To be called in every replica. The derivative is the sum of the replicas'
    derivatives.

    TensorFlow's own derivative of an all-reduce searches the graphs of all other
    replicas for variables at every call, which makes tracing a network with
    synchronised batch norms quadratic in its size; the search stops at
    `tf.stop_gradient`.

    Args:
        values: A tensor or a list of tensors.

    Returns:
        The same structure.
    """
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return values

    @tf.custom_gradient
    def reduce(*values):
        with _uncompiled():
            sums = replica.all_reduce("sum", [tf.stop_gradient(v) for v in values])
        return sums, lambda *grads: all_reduce_sum(list(grads))

    if isinstance(values, list):
        return reduce(*values)
    return reduce(values)[0]


def _uncompiled():
    """Keeps a sum apart from the compiled operations that it lies between.

    The mark is the graph's, not the thread's. All replicas leave it in the order in
    which they came, as they take turns at every sum.
    """
    import tensorflow as tf

    if tf.executing_eagerly():
        return nullcontext()
    return tf.xla.experimental.jit_scope(compile_ops=False)
