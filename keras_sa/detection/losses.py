"""Sums of losses, and what they are divided by."""

import tensorflow as tf

from keras_sa.training.collectives import all_reduce_sum


def mean_of_all(total, count):
    """This replica's part of a mean over all replicas' batches.

    Gradients are summed over the replicas: a loss that is divided by the count of
    all of them is one device's, however unevenly the images are spread.

    Args:
        total: The sum of this replica's terms.
        count: How many terms this replica has, or their weight.
    """
    count = tf.cast(tf.stop_gradient(count), tf.float32)
    return total / tf.maximum(all_reduce_sum(count), 1.0)


def absolute_error(deltas, targets, weights):
    """The sum of the weighted distances of deltas `(..., 4)` to their targets."""
    distances = tf.reduce_sum(tf.abs(tf.cast(deltas, tf.float32) - targets), -1)
    return tf.reduce_sum(distances * tf.cast(weights, tf.float32))


def focal_loss(logits, classes, weights, gamma=2.0, alpha=0.25):
    """The sum of the focal loss of one sigmoid for each class.

    Args:
        logits: float32 `(..., classes)`.
        classes: int32 `(...)`, negative for background.
        weights: `(...)`, 0 for what is ignored.
        gamma: How much well classified candidates count less.
        alpha: Weight of the right class, against `1 - alpha` for the others.

    Reference:

    - [Focal Loss for Dense Object Detection](https://arxiv.org/abs/1708.02002)
      (Lin et al., ICCV 2017)
    """
    truth = tf.one_hot(classes, logits.shape[-1])
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(truth, logits)
    probability = tf.sigmoid(logits)
    wrong = truth * (1 - probability) + (1 - truth) * probability
    balance = truth * alpha + (1 - truth) * (1 - alpha)
    losses = tf.reduce_sum(balance * wrong**gamma * entropy, -1)
    return tf.reduce_sum(losses * tf.cast(weights, tf.float32))
