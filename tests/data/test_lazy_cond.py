"""A branch as a call: alike in graphs and outside, and nothing else is done."""

import numpy as np
import pytest
import tensorflow as tf

from keras_sa.data.lazy_cond import lazy_cond


def fails(values, message):
    with tf.control_dependencies([tf.debugging.Assert(False, [message])]):
        return tf.identity(values)


def branches(condition, values):
    """Three times the values, or a nested choice."""

    def nested(values):
        return lazy_cond(
            tf.size(values) > 2,
            lambda values: values[:2],
            lambda values: fails(values, "the branch that is not taken"),
            values,
        )

    return lazy_cond(
        condition,
        lambda values: tf.cond(values[0] > 0, lambda: 3 * values, lambda: values),
        nested,
        values,
    )


@pytest.mark.parametrize("graph", [False, True])
def test_the_branch_of_the_condition_is_computed(graph):
    run = tf.function(branches) if graph else branches
    values = tf.constant([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(run(tf.constant(True), values), [3, 6, 9])
    np.testing.assert_array_equal(run(tf.constant(False), values), [1, 2])
    with pytest.raises(tf.errors.InvalidArgumentError, match="not taken"):
        run(tf.constant(False), tf.constant([1.0]))


def test_it_is_nested_in_parallel_maps_of_one_core():
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    data = tf.data.Dataset.range(200).map(
        lambda number: branches(number % 2 == 0, tf.fill([3], number)),
        num_parallel_calls=4,
    )
    sums = [int(values.numpy().sum()) for values in data.with_options(options)]
    assert sums == [(2 if number % 2 else 9) * number for number in range(200)]


def test_shapes_are_what_both_branches_have():
    run = tf.function(
        lambda condition: lazy_cond(
            condition,
            lambda values: values,
            lambda values: values[:1],
            tf.zeros((2, 3)),
        )
    )
    graph = run.get_concrete_function(tf.TensorSpec((), tf.bool))
    assert graph.structured_outputs.shape.as_list() == [None, 3]
