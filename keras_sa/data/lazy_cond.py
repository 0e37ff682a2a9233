"""Branches that cost nothing where they are not taken."""

from collections.abc import Callable
from typing import Any


def lazy_cond(
    condition: Any,
    then: Callable[..., Any],
    otherwise: Callable[..., Any],
    *inputs: Any,
) -> Any:
    """`tf.cond`, as a call of one of two functions.

    `tf.cond` puts the operations of both branches into the graph around it, where the
    executor visits those that are not computed, too. For a few large ones that takes no
    time; for hundreds of small ones, as reading a file's header needs, as much as they
    do.

    Args:
        condition: A bool scalar tensor.
        then: A function of the inputs, without side effects, that returns one tensor.
        otherwise: Likewise, with a result of the same type.
        *inputs: Tensors.

    Returns:
        The result of the one that was called.
    """
    import tensorflow as tf

    if tf.executing_eagerly():
        # Where TensorFlow's operation waits for itself when one is in another.
        return (then if condition else otherwise)(*inputs)
    inputs = tuple(map(tf.convert_to_tensor, inputs))
    specs = [tf.TensorSpec(each.shape, each.dtype) for each in inputs]
    branches = [
        tf.function(branch).get_concrete_function(*specs)
        for branch in (then, otherwise)
    ]
    (dtype,) = {branch.output_dtypes for branch in branches}
    first, second = (branch.output_shapes for branch in branches)
    shape = first.most_specific_compatible_shape(second)
    # GPUs have no strings.
    with tf.device("CPU:0"):
        (result,) = tf.raw_ops.StatelessIf(
            cond=condition,
            input=inputs,
            Tout=[dtype],
            then_branch=branches[0],
            else_branch=branches[1],
            output_shapes=[shape],
        )
    result.set_shape(shape)
    return result
