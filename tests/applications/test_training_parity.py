"""Training takes the same steps as the published code."""

import golden
import keras
import numpy as np
import tensorflow as tf

from keras_sa.applications import AttentionResNet
from keras_sa.layers import ShuffleAttention

WEIGHT_DECAY = 1e-4


def test_six_steps_of_the_published_recipe():
    expected = golden.load("training.npz")
    model = AttentionResNet(
        blocks=(1, 1, 1, 1),
        bottleneck_width=8,
        input_shape=(64, 64, 3),
        classes=10,
        classifier_activation=None,
    )
    table = golden.set_published_weights(model)
    images = golden.images("train.images", (6, 8, 3, 64, 64))
    labels = golden.draw("train.labels").randint(0, 10, (6, 8))
    np.testing.assert_array_equal(labels, expected["labels"])

    optimizer = keras.optimizers.SGD(0.005, momentum=0.9)
    loss_function = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    variables = model.trainable_weights

    @tf.function
    def gradients_of(images, labels):
        with tf.GradientTape() as tape:
            loss = loss_function(labels, model(images, training=True))
        return loss, tape.gradient(loss, [v.value for v in variables])

    for step, loss_expected in enumerate(expected["losses"]):
        loss, gradients = gradients_of(images[step], labels[step])
        np.testing.assert_allclose(loss, loss_expected, atol=1e-3)
        if step == 0:
            norms = {
                variable.path: float(tf.norm(gradient))
                for variable, gradient in zip(variables, gradients, strict=True)
            }
        # L2 on every parameter, as published; not Keras' decoupled weight decay.
        optimizer.apply(
            [g + WEIGHT_DECAY * v for g, v in zip(gradients, variables, strict=True)],
            variables,
        )

    names, theirs = expected["gradient_norm_names"], expected["gradient_norms"]
    for name, norm in zip(names, theirs, strict=True):
        ours = norms[table[name].variable.path]
        np.testing.assert_allclose(ours, norm, rtol=1e-3, atol=1e-6, err_msg=name)

    logits = model.predict(images[0], verbose=0)
    # The running variances differ by the factor of the unbiased estimate: with 8
    # images of 2x2 at the last stage 32/31 in each step.
    deviation = abs(logits - expected["final_logits"]).max()
    assert deviation < 0.1 * expected["final_logits"].std()


def test_gradients_of_gamma_and_beta_are_zero_at_the_start():
    model = AttentionResNet(
        blocks=(1, 1),
        width=16,
        attention_options={"groups": 4},
        classes=3,
        input_shape=(32, 32, 3),
    )
    layer = next(x for x in model.layers if isinstance(x, ShuffleAttention))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(tf.random.normal((2, 32, 32, 3)), training=True)[0])
    gradients = tape.gradient(loss, [layer.gamma.value, layer.beta.value])
    assert all(np.all(gradient == 0) for gradient in gradients)
