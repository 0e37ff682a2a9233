"""Detectors under `tf.distribute`: several devices train as one."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from detection_samples import coloured_shapes
from detection_samples import tiny_detector

from keras_sa.applications import SAFasterRCNN
from keras_sa.applications import SAMaskRCNN
from keras_sa.applications import SARetinaNet
from keras_sa.training.cluster.strategy import make_strategy

# Of one step; rounding was seen to make 2e-5. The loss is of order one, the rate 0.05.
TOLERANCE = 5e-5


def train(builder, strategy, images, targets):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        # Batch norms in inference mode: their statistics would be per replica.
        model = tiny_detector(builder, freeze=True)
        model.compile(keras.optimizers.SGD(0.05))
    # One step: a proposal that rounding puts before another one changes the next.
    data = tf.data.Dataset.from_tensor_slices((images, targets)).batch(8)
    history = model.fit(data, epochs=1, verbose=0, shuffle=False)
    return model, history.history


@pytest.mark.slow
@pytest.mark.parametrize("builder", [SARetinaNet, SAFasterRCNN, SAMaskRCNN])
def test_two_replicas_train_as_one_device(builder):
    images, targets = coloured_shapes(8)
    # All objects of the last images lie in one replica's half.
    targets["classes"][6:] = -1
    targets["boxes"][6:] = -1
    targets["ignored"] = np.zeros(targets["classes"].shape, bool)
    if builder is not SAMaskRCNN:
        targets.pop("masks")
    one, losses = train(builder, make_strategy("single"), images, targets)
    mirrored = make_strategy("mirrored", replicas=2)
    two, losses_of_two = train(builder, mirrored, images, targets)
    for variable, copy in zip(one.weights, two.weights, strict=True):
        np.testing.assert_allclose(
            copy.numpy(), variable.numpy(), atol=TOLERANCE, err_msg=variable.path
        )
    for name, values in losses.items():
        np.testing.assert_allclose(losses_of_two[name], values, rtol=1e-4)
