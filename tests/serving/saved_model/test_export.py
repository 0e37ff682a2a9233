"""The SavedModel: what it answers, what it weighs, how it gets to its place."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from needed import needed
from serving_samples import LABELS
from serving_samples import image_file
from serving_samples import photo
from serving_samples import randomize
from serving_samples import small_network

from keras_sa.applications import sa_resnet
from keras_sa.data import load
from keras_sa.serving import export
from keras_sa.serving.saved_model import versions
from keras_sa.serving.saved_model.classifier_export import label_lines
from keras_sa.serving.saved_model.head import find_head
from keras_sa.utils.evaluation_crop import evaluation_crop


def test_files_are_classified_as_by_hand(model, signatures):
    images = [photo(48, 64), photo(90, 40, seed=1)]
    crops = np.stack([evaluation_crop(image, (32, 32)) for image in images])
    expected = model.predict(sa_resnet.preprocess_input(crops), verbose=0)
    files = tf.constant([image_file(image) for image in images])
    result = signatures["serving_default"](image_bytes=files)
    # The same operations; only the batch is laid out differently.
    np.testing.assert_allclose(result["probabilities"], expected, atol=1e-5)
    best = np.argsort(-expected, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(result["classes"], best)
    np.testing.assert_allclose(
        result["scores"], np.take_along_axis(expected, best, 1), atol=1e-5
    )
    assert result["labels"].numpy().tolist() == [
        [LABELS[index].encode() for index in row] for row in best
    ]
    assert result["valid"].numpy().all()


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_decoded_images_give_the_same_as_the_network(model, signatures, dtype):
    images = np.stack([photo(32, 32, seed) for seed in range(3)]).astype(dtype)
    name = "predict_images" if dtype == "float32" else "predict_images_uint8"
    result = signatures[name](images=images)
    expected = model.predict(sa_resnet.preprocess_input(images), verbose=0)
    np.testing.assert_allclose(result["probabilities"], expected, atol=1e-5)


def test_features_are_the_pooled_maps(model, signatures):
    image = photo()
    backbone = keras.Model(model.input, model.get_layer("avg_pool").output)
    crop = evaluation_crop(image, (32, 32))[None]
    expected = backbone.predict(sa_resnet.preprocess_input(crop), verbose=0)
    result = signatures["features"](image_bytes=[image_file(image), b"no image"])
    np.testing.assert_allclose(result["features"][:1], expected, rtol=1e-4, atol=1e-5)
    assert result["valid"].numpy().tolist() == [True, False]
    assert not result["features"][1].numpy().any()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_any_batch_size_is_answered(signatures, count):
    files = tf.constant([image_file(photo())] * count, tf.string)
    result = signatures["predict_bytes"](image_bytes=files)
    assert result["probabilities"].shape == (count, 10)
    assert {len(value) for value in result.values()} == {count}
    result = signatures["predict_images"](images=tf.zeros((count, 32, 32, 3)))
    assert result["probabilities"].shape == (count, 10)
    assert signatures["features"](image_bytes=files)["features"].shape[0] == count


@pytest.mark.slow
def test_the_weights_are_stored_once(tmp_path):
    # Wide enough that the graph itself weighs little against them.
    model = small_network(attention=None, width=64)
    path = export(model, tmp_path)
    size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    assert size <= 1.03 * 4 * model.count_params()


def test_weights_are_constants_and_additions_can_be_fused(exported):
    from tensorflow.core.protobuf import saved_model_pb2

    proto = saved_model_pb2.SavedModel()
    proto.ParseFromString((exported / "saved_model.pb").read_bytes())
    functions = proto.meta_graphs[0].graph_def.library.function
    operations = [node.op for function in functions for node in function.node_def]
    assert "Conv2D" in operations
    assert "ReadVariableOp" not in operations
    # One pass for `x * sigmoid(gate)`; four blocks.
    assert operations.count("SoftplusGrad") == 4


@pytest.mark.slow
def test_it_loads_without_this_package_and_without_keras(exported):
    program = """
import sys
sys.modules["keras_sa"] = sys.modules["keras"] = None
import tensorflow as tf
result = tf.saved_model.load(sys.argv[1]).signatures["serving_default"](
    image_bytes=tf.constant([tf.io.encode_png(tf.zeros((9, 9, 3), tf.uint8)).numpy()])
)
assert result["valid"].numpy().all() and result["probabilities"].shape == (1, 10)
"""
    subprocess.run([sys.executable, "-c", program, str(exported)], check=True)


def test_an_existing_version_is_kept(model, exported, monkeypatch):
    before = sorted(exported.rglob("*"))
    with pytest.raises(FileExistsError, match="force=True"):
        export(model, exported.parent)
    monkeypatch.setattr(tf.saved_model, "save", _fail)
    with pytest.raises(RuntimeError, match="disk full"):
        export(model, exported.parent, force=True)
    assert sorted(exported.rglob("*")) == before
    assert [path.name for path in exported.parent.iterdir()] == ["1"]


def _fail(*args):
    raise RuntimeError("disk full")


@pytest.mark.slow
def test_force_replaces_a_version(model, tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "old").touch()
    assert export(model, tmp_path, version=7, force=True) == tmp_path / "7"
    assert not (tmp_path / "7" / "old").exists()
    assert (tmp_path / "7" / "saved_model.pb").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["7"]


@pytest.mark.slow
def test_warmup_requests_appear_with_the_version(model, tmp_path, monkeypatch):
    needed("tensorflow_serving")
    from keras_sa.serving import export as export_module

    warmup = Path("assets.extra", "tf_serving_warmup_requests")
    seen = []

    def publish(finished, target, force):
        # A server may load the version as soon as it has its name.
        seen.append((finished / warmup).read_bytes())
        versions.publish(finished, target, force)

    monkeypatch.setattr(sys.modules[export_module.__module__], "publish", publish)
    path = export(model, tmp_path / "flowers", warmup=True)
    assert (path / warmup).read_bytes() == seen[0]
    assert seen[0].count(b"flowers") == 2


def test_nothing_appears_if_the_extra_is_missing(model, tmp_path, monkeypatch):
    module = "tensorflow_serving.apis.prediction_log_pb2"
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install 'keras-sa\[serving\]'"):
        export(model, tmp_path, warmup=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_grey_models_with_logits_of_free_size(tmp_path):
    model = randomize(
        small_network(input_shape=(None, None, 1), classifier_activation=None)
    )
    with pytest.raises(ValueError, match="image_size"):
        export(model, tmp_path, mean=[0.3], std=[0.2])
    with pytest.raises(ValueError, match="`mean` and `std` must be given"):
        export(model, tmp_path, image_size=(40, 24))
    path = export(model, tmp_path, image_size=(40, 24), mean=[0.3], std=[0.2])
    image = photo(50, 40)
    crop = evaluation_crop(image, (40, 24)) @ np.array([[0.299], [0.587], [0.114]])
    logits = model((crop[None] / 255 - 0.3) / 0.2, training=False)
    result = tf.saved_model.load(str(path)).signatures["serving_default"](
        image_bytes=tf.constant([image_file(image)])
    )
    np.testing.assert_allclose(
        result["probabilities"], tf.nn.softmax(logits), atol=1e-5
    )


@pytest.mark.slow
def test_one_number_is_a_square_size(tmp_path):
    model = small_network(input_shape=(None, None, 3))
    path = export(model, tmp_path, image_size=24)
    served = tf.saved_model.load(str(path)).signatures["predict_images"]
    assert served.inputs[0].shape.as_list() == [None, 24, 24, 3]


@pytest.mark.slow
def test_one_logit_becomes_the_probability_of_its_class(tmp_path):
    model = randomize(small_network(classes=1, classifier_activation=None))
    images = np.stack([photo(32, 32), photo(32, 32, seed=1)]).astype("float32")
    logits = model.predict(sa_resnet.preprocess_input(images), verbose=0)
    path = export(model, tmp_path)
    result = tf.saved_model.load(str(path)).signatures["predict_images"](images=images)
    np.testing.assert_allclose(
        result["probabilities"], keras.ops.sigmoid(logits), atol=1e-5
    )


@pytest.mark.parametrize(
    ("end", "from_logits", "activation"),
    [
        (keras.ops.sigmoid, None, None),
        (keras.ops.softmax, None, None),
        (keras.layers.Softmax(), None, None),
        (keras.layers.Lambda(keras.ops.sigmoid), False, None),
        (keras.layers.Lambda(lambda x: 2 * x), True, "softmax"),
        (keras.layers.Activation("linear"), None, "softmax"),
    ],
)
def test_what_is_behind_the_dense_layer_is_known_or_told(end, from_logits, activation):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    model = keras.Model(inputs, end(keras.layers.Dense(4)(x)))
    assert find_head(model, from_logits).activation == activation
    if from_logits is not None:
        with pytest.raises(ValueError, match="from_logits.*'lambda'"):
            find_head(model)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "from_logits", [None, *(pytest.param(x, marks=SLOW) for x in (True, False))]
)
def test_several_labels_are_activated_one_by_one(tmp_path, from_logits):
    """And once, if the network does it itself."""
    activation = None if from_logits is None else keras.ops.sigmoid
    model = randomize(small_network(classifier_activation=activation))
    images = np.stack([photo(32, 32), photo(32, 32, seed=1)]).astype("float32")
    expected = model.predict(sa_resnet.preprocess_input(images), verbose=0)
    path = export(model, tmp_path, from_logits=from_logits, multi_label=True)
    result = tf.saved_model.load(str(path)).signatures["predict_images"](images=images)
    if from_logits is not False:
        expected = keras.ops.sigmoid(expected)
    np.testing.assert_allclose(result["probabilities"], expected, atol=1e-5)


STARTS = {
    "division": ("float32", lambda x: x / 127.5 - 1),
    "subtraction": ("float32", keras.applications.vgg16.preprocess_input),
    "behind augmentation": (
        "float32",
        keras.Sequential([keras.layers.RandomFlip(), keras.layers.Rescaling(1 / 255)]),
    ),
    "integers": ("uint8", keras.layers.Rescaling(1 / 255)),
}


@pytest.mark.parametrize(
    "start",
    [
        "division",
        pytest.param("subtraction", marks=SLOW),
        pytest.param("behind augmentation", marks=SLOW),
        pytest.param("integers", marks=SLOW),
    ],
)
def test_pixels_are_served_to_networks_that_take_them(tmp_path, start):
    dtype, scaling = STARTS[start]
    inputs = keras.Input((32, 32, 3), dtype=dtype)
    x = keras.layers.Conv2D(16, 3, strides=2)(scaling(inputs))
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))
    with pytest.raises(ValueError, match="would be applied twice"):
        export(model, tmp_path, mean=[0.5] * 3, std=[0.5] * 3)
    served = tf.saved_model.load(str(export(model, tmp_path))).signatures
    image = photo(40, 40)
    crop = np.asarray(evaluation_crop(image, (32, 32)))[np.newaxis]
    expected = model.predict(np.rint(crop) if dtype == "uint8" else crop, verbose=0)
    files = tf.constant([image_file(image)])
    result = served["serving_default"](image_bytes=files)
    np.testing.assert_allclose(result["probabilities"], expected, atol=1e-5)
    pixels = photo(32, 32, seed=2)[np.newaxis]
    for name, batch in (("", pixels.astype("float32")), ("_uint8", pixels)):
        result = served[f"predict_images{name}"](images=batch)
        expected = model.predict(pixels, verbose=0)
        np.testing.assert_allclose(result["probabilities"], expected, atol=1e-5)


@pytest.mark.slow
def test_a_lambda_is_exported_as_it_is(tmp_path):
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Lambda(lambda x: x[:, ::2, ::2], name="half")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(16, 3)(x))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    with pytest.raises(
        ValueError, match="'half'.*`Lambda` needs a function.*fused=Fal"
    ):
        export(model, tmp_path)
    path = export(model, tmp_path, fused=False)
    assert path.is_dir()


@pytest.mark.slow
def test_a_nested_model_with_its_own_preprocessing(tmp_path):
    base = randomize(small_network(include_top=False, pooling="avg"))
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Rescaling(1 / 127.5, -1),
            base,
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3),
            keras.layers.Softmax(),
        ]
    )
    path = export(model, tmp_path, preprocess=lambda images: images, top_k=9)
    images = np.stack([photo(32, 32)]).astype("float32")
    result = tf.saved_model.load(str(path)).signatures["predict_images"](images=images)
    np.testing.assert_allclose(
        result["probabilities"], model.predict(images, verbose=0), atol=1e-5
    )
    assert result["labels"].numpy().tolist() == [
        [str(index).encode() for index in row] for row in result["classes"].numpy()
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        {"version": 0},
        {"version": "1"},
        {"labels": ["a", "b"]},
        {"labels": ["two\nlines"] * 10},
        {"labels": ["cat"] * 9 + [""]},
        {"multi_label": True},
        {"top_k": 0},
        {"top_k": 2.5},
        {"image_size": (64, 64)},
        {"image_size": 64},
        {"image_size": (32, 32, 3)},
        {"mean": (0.5, 0.5, 0.5)},
        {"crop_ratio": 2.0},
    ],
)
def test_wrong_arguments_are_refused(model, tmp_path, arguments):
    with pytest.raises(ValueError, match="Received"):
        export(model, tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


def test_a_wrong_crop_is_told_in_a_line(model, tmp_path):
    with pytest.raises(ValueError, match="^`crop_ratio` must be in 0..1.") as error:
        export(model, tmp_path, crop_ratio=2.0)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="^`crop_ratio` must be in 0..1."):
        load("digits", "test", training=False, crop_ratio=3.0)


def test_labels_files_of_other_editors(tmp_path):
    file = tmp_path / "labels.txt"
    file.write_bytes("\ufeffchat\r\nfougère\r\n".encode())
    assert label_lines(file, 2) == "chat\nfougère\n"
    file.write_bytes("chat\nfougère\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"in UTF-8. Received: '.*labels.txt'"):
        label_lines(file, 2)


def test_a_network_without_a_head_is_refused(tmp_path):
    with pytest.raises(ValueError, match="classes"):
        export(small_network(include_top=False), tmp_path)
    with pytest.raises(ValueError, match="must end in a dense layer"):
        export(small_network(include_top=False, pooling="avg"), tmp_path)
