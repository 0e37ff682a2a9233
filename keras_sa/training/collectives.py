"""Sums over the replicas."""


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
        sums = replica.all_reduce("sum", [tf.stop_gradient(v) for v in values])
        return sums, lambda *grads: all_reduce_sum(list(grads))

    if isinstance(values, list):
        return reduce(*values)
    return reduce(values)[0]
