import keras
import pytest

from keras_sa.applications import AttentionResNet
from keras_sa.utils import layer_names
from keras_sa.utils.layer_names import Place


@pytest.mark.parametrize(
    ("name", "place", "part"),
    [
        ("conv2_block1_3_bn", Place(2, 1), "3_bn"),
        ("conv5_block36_attention", Place(5, 36), layer_names.ATTENTION),
        ("conv4_block2_out", Place(4, 2), layer_names.OUTPUT),
        ("conv3_attention", Place(3), layer_names.ATTENTION),
    ],
)
def test_a_name_is_read_as_it_was_made(name, place, part):
    assert layer_names.parse(name) == (place, part)
    assert place.layer(part) == name


@pytest.mark.parametrize("name", ["conv1_conv", "predictions", "my_conv2_block1_out"])
def test_other_names_are_of_no_place(name):
    assert layer_names.parse(name) is None
    assert layer_names.level_of_output(name) is None


@pytest.mark.parametrize("build", [AttentionResNet, keras.applications.ResNet50])
def test_the_last_outputs_are_those_of_the_stages(build):
    model = build(include_top=False, weights=None, input_shape=(64, 64, 3))
    ends = {}
    for layer in model.layers:
        level = layer_names.level_of_output(layer.name)
        if level is not None:
            ends[level] = layer.output.shape[1]
    assert ends == {2: 16, 3: 8, 4: 4, 5: 2}
