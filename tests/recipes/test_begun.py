"""Another training does not go on in a training's directory."""

import json
import multiprocessing
import signal

import pytest

from keras_sa.recipes.begun import check_begun
from keras_sa.recipes.begun import only_training
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


def test_a_finished_training_of_an_earlier_version_is_compared(tmp_path):
    (tmp_path / "settings.json").write_text(json.dumps(SETTINGS))
    with pytest.raises(ValueError, match="seed was 0, now 2"):
        check_begun(tmp_path, changed(seed=2))


def test_a_restart_deletes_the_training_alone(tmp_path):
    write_begun(tmp_path, SETTINGS)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "weights").touch()
    (tmp_path / "photo.jpg").touch()
    remove_training(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def hold(directory, held):
    with only_training(directory):
        held.set()
        signal.pause()


def test_two_at_once_are_refused_until_one_is_killed(tmp_path):
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    process = context.Process(target=hold, args=(tmp_path, held))
    process.start()
    assert held.wait(60)
    with pytest.raises(ValueError, match="Another process is training"):
        with only_training(tmp_path):
            pass
    process.kill()
    process.join()
    with only_training(tmp_path):
        pass
