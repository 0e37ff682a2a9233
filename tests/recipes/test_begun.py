"""Another training does not go on in a training's directory."""

import json

import pytest

from keras_sa.recipes.begun import check_begun
from keras_sa.recipes.begun import remove_training
from keras_sa.recipes.begun import write_begun

SETTINGS = {
    "recipe": {"model": "SAResNet50", "epochs": 10, "augmentation": {"mixup": 0.0}},
    "class_names": ["oak", "elm"],
    "learning_rate": 0.1,
    "seed": 0,
}


def changed(**changes):
    settings = json.loads(json.dumps(SETTINGS))
    for name, value in changes.items():
        *path, last = name.split("__")
        place = settings
        for part in path:
            place = place[part]
        place[last] = value
    return settings


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"class_names": ["oak", "fir"]}, 'class_names was .*"elm".*, now .*"fir"'),
        ({"learning_rate": 0.01}, "learning_rate was 0.1, now 0.01"),
        ({"seed": 1}, "seed was 0, now 1"),
        ({"recipe__augmentation__mixup": 0.2}, "recipe.augmentation.mixup was 0.0"),
        ({"recipe__model": "SAResNet101"}, 'recipe.model was "SAResNet50"'),
        ({"recipe__epochs": 9}, "recipe.epochs was 10, now 9"),
        ({"recipe__augmentation__cutmix": 1.0}, "recipe.augmentation.cutmix was null"),
        ({"sides": [64, 96]}, r"sides was null, now \[64, 96\]"),
    ],
)
def test_a_difference_is_named(tmp_path, changes, words):
    write_begun(tmp_path, SETTINGS)
    with pytest.raises(ValueError, match=f"holds another training: {words}"):
        check_begun(tmp_path, changed(**changes))


def test_more_epochs_and_the_same_go_on(tmp_path):
    check_begun(tmp_path, SETTINGS)
    write_begun(tmp_path, SETTINGS)
    check_begun(tmp_path, SETTINGS)
    check_begun(tmp_path, changed(recipe__epochs=20))
    check_begun(tmp_path, changed(recipe__hardware="a telephone", clipnorm=None))


def test_a_finished_training_of_an_earlier_version_is_compared(tmp_path):
    (tmp_path / "settings.json").write_text(json.dumps(SETTINGS))
    with pytest.raises(ValueError, match="seed was 0, now 2"):
        check_begun(tmp_path, changed(seed=2))


def test_an_option_that_is_gone_is_a_difference(tmp_path):
    write_begun(tmp_path, changed(mask_size=56))
    with pytest.raises(ValueError, match="mask_size was 56, now null"):
        check_begun(tmp_path, SETTINGS)


@pytest.mark.parametrize("state", ["state", "head_state"])
def test_an_unfinished_training_of_an_earlier_version_is_refused(tmp_path, state):
    (tmp_path / state).mkdir()
    with pytest.raises(ValueError, match="unfinished training of an earlier.*restart"):
        check_begun(tmp_path, SETTINGS)
    remove_training(tmp_path)
    check_begun(tmp_path, SETTINGS)


def test_a_restart_deletes_the_training_alone(tmp_path):
    write_begun(tmp_path, SETTINGS)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "weights").touch()
    (tmp_path / "photo.jpg").touch()
    remove_training(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]
