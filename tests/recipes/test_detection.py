"""The detectors' recipes say what is published."""

import json

import keras
import numpy as np
import pytest

from keras_sa import applications
from keras_sa.recipes.detector_recipes import DETECTORS
from keras_sa.recipes.detector_recipes import RECIPES
from keras_sa.recipes.detector_recipes import get_detector_recipe
from keras_sa.recipes.schedules import DropAfter


def test_coco_1x_is_the_published_schedule():
    recipe = get_detector_recipe("coco_1x")
    assert (recipe.batch_size, recipe.epochs, recipe.sides[0]) == (8, 12, 800)
    assert recipe.backbone_weights == "imagenet" and recipe.freeze
    steps = 1000
    optimizer = recipe.optimizer(recipe.scaled_learning_rate(8), steps)
    assert optimizer.momentum == 0.9 and optimizer.l2 == 1e-4
    schedule = optimizer._learning_rate
    rates = {
        0: 0.01 / 500,
        249: 0.005,
        499: 0.01,
        8 * steps - 1: 0.01,
        8 * steps: 0.001,
        11 * steps - 1: 0.001,
        11 * steps: 0.0001,
    }
    for step, rate in rates.items():
        assert float(schedule(step)) == pytest.approx(rate), step
    # Twice the batch, twice the rate.
    assert recipe.scaled_learning_rate(16) == pytest.approx(0.02)


def test_schedules_are_saved_with_their_optimizers():
    schedule = DropAfter((1, 2), factor=2.0, warmup_steps=3).build(0.1, 3, 10)
    config = json.loads(json.dumps(keras.optimizers.schedules.serialize(schedule)))
    restored = keras.optimizers.schedules.deserialize(config)
    steps = np.arange(30)
    np.testing.assert_array_equal(
        [float(restored(s)) for s in steps], [float(schedule(s)) for s in steps]
    )
    # A training that ends before a drop never sees it.
    assert float(DropAfter((8,)).build(0.1, 4, 10)(1000)) == pytest.approx(0.1)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_name_what_there_is(name):
    recipe = RECIPES[name]
    assert f"--recipe {name}" in recipe.command
    assert set(recipe.options) <= set(DETECTORS)
    for builder in DETECTORS.values():
        assert callable(getattr(applications, builder))


def test_unknown_recipes_are_refused():
    with pytest.raises(ValueError, match="recipe='coco_2x'"):
        get_detector_recipe("coco_2x")
