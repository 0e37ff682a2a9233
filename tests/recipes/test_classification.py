"""Recipes, their schedules and what a session makes of them."""

import json

import keras
import numpy as np
import pytest

from keras_sa.recipes.classifier_recipes import RECIPES
from keras_sa.recipes.classifier_recipes import get_recipe
from keras_sa.recipes.metrics_log import plot_metrics
from keras_sa.recipes.schedules import CosineDecay
from keras_sa.recipes.schedules import StepDecay
from keras_sa.training import L2SGD


def test_published_recipe_is_the_published_one():
    recipe = get_recipe("sa_resnet50_imagenet")
    optimizer = recipe.optimizer(
        recipe.scaled_learning_rate(256), recipe.epochs, steps_per_epoch=10
    )
    assert (recipe.epochs, recipe.batch_size, recipe.image_size) == (100, 256, 224)
    assert isinstance(optimizer, L2SGD)
    assert (optimizer.momentum, optimizer.l2) == (0.9, 1e-4)
    assert (recipe.augmentation.scale, recipe.augmentation.flip) == ((0.08, 1.0), True)
    assert not recipe.augmentation.softens_labels
    rates = [float(optimizer._learning_rate(step)) for step in range(1000)]
    # 0.1, divided by 10 before the steps of the epochs 30, 60 and 90.
    expected = [0.1 / 10 ** (step // 300) for step in range(1000)]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


def test_fine_tuning_is_clipped_and_warms_up_in_both_stages():
    recipe = get_recipe("fine_tune")
    for epochs in (recipe.head_epochs, recipe.epochs):
        optimizer = recipe.optimizer(0.1, epochs, steps_per_epoch=10)
        assert optimizer.global_clipnorm == 1.0
        rates = [float(optimizer._learning_rate(step)) for step in range(11)]
        np.testing.assert_allclose(rates, np.linspace(0, 0.1, 11), rtol=1e-6)


@pytest.mark.parametrize(
    "steps, epochs", [(1, (100, 200)), (7, (15, 29)), (64, (2, 10))]
)
def test_few_images_are_seen_in_more_epochs(steps, epochs):
    recipe = get_recipe("fine_tune").lengthened(steps)
    assert (recipe.head_epochs, recipe.epochs) == epochs
    assert get_recipe("digits").lengthened(steps) == get_recipe("digits")


def test_learning_rate_is_in_proportion_to_the_batch():
    recipe = get_recipe("sa_resnet50_imagenet")
    assert recipe.scaled_learning_rate(1024) == pytest.approx(0.4)


def test_step_decay_without_a_drop_is_constant():
    assert StepDecay(every=30).build(0.1, 30, 5) == 0.1


def test_cosine_warms_up_and_ends_at_zero():
    schedule = CosineDecay(warmup_epochs=2).build(0.4, epochs=10, steps_per_epoch=5)
    rates = [float(schedule(step)) for step in range(51)]
    np.testing.assert_allclose(rates[:11], np.linspace(0, 0.4, 11), atol=1e-7)
    assert rates[50] == pytest.approx(0.0, abs=1e-7)
    assert sorted(rates[10:], reverse=True) == rates[10:]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_says_how_it_is_run(name):
    recipe = RECIPES[name]
    assert f"--recipe {name}" in recipe.command
    assert "--directory" in recipe.command
    assert recipe.data is not None or "--data" in recipe.command
    assert recipe.hardware
    assert recipe.expected


def test_unknown_recipe_names_the_known_ones():
    with pytest.raises(ValueError, match="sa_resnet50_imagenet"):
        get_recipe("vgg")


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_l2_sgd_is_the_sgd_of_the_published_recipe(momentum, nesterov):
    """Against its definition, over a drop of the learning rate, in float64."""
    rng = np.random.default_rng(0)
    weight, velocity = rng.standard_normal(5), np.zeros(5)
    variable = keras.Variable(weight, dtype="float64")
    optimizer = L2SGD(0.125, momentum=momentum, l2=0.01, nesterov=nesterov)
    for step in range(6):
        rate = 0.125 if step < 3 else 0.0625
        optimizer.learning_rate = rate
        gradient = rng.standard_normal(5)
        optimizer.apply_gradients([(keras.ops.convert_to_tensor(gradient), variable)])
        decayed = gradient + 0.01 * weight
        velocity = momentum * velocity + decayed
        weight = weight - rate * (
            decayed + momentum * velocity if nesterov else velocity
        )
    # The momentum is rounded to float32 once.
    np.testing.assert_allclose(variable.numpy(), weight, rtol=1e-6)


def test_l2_sgd_is_serialized():
    optimizer = L2SGD(0.3, momentum=0.8, l2=0.02, clipnorm=1.0)
    config = json.loads(json.dumps(keras.optimizers.serialize(optimizer)))
    again = keras.optimizers.deserialize(config)
    assert isinstance(again, L2SGD)
    assert (again.l2, again.momentum, again.clipnorm) == (0.02, 0.8, 1.0)


@pytest.mark.parametrize("options", [{"l2": -1.0}, {"weight_decay": 0.1}], ids=str)
def test_l2_sgd_refuses(options):
    with pytest.raises(ValueError, match="Received"):
        L2SGD(**options)


def test_learning_curve_is_drawn(tmp_path):
    rows = [
        {"epoch": 1, "loss": 2.0, "accuracy": 0.1},
        {"epoch": 2, "loss": 1.0, "accuracy": 0.4, "val_loss": 1.2},
    ]
    plot_metrics(rows, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
