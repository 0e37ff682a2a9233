"""COCO's files become the batches that detectors are fed with."""

import collections
import json

import coco_folder
import numpy as np
import pytest
import tensorflow as tf
from camera_photos import ORIENTATIONS
from camera_photos import camera_photo
from needed import needed

from keras_sa.data import coco
from keras_sa.data.coco.detection_data import padded_sizes
from keras_sa.data.coco.order import epoch_order
from keras_sa.data.coco.rle import rle_encode
from keras_sa.data.coco.rle import runs_of_string
from keras_sa.data.coco.segmentations import box_mask
from keras_sa.detection.evaluation.coco_metrics import coco_metrics
from keras_sa.detection.evaluation.coco_results import coco_ground_truth
from keras_sa.utils.normalization import IMAGENET_MEAN
from keras_sa.utils.normalization import IMAGENET_STD
from keras_sa.utils.resize_within import resized_shape

needed("pycocotools")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return coco_folder.write(tmp_path_factory.mktemp("coco"), coco_folder.content())


def load(folder, **options):
    options = {"sides": (64, 96), "batch_size": 4, "training": False, **options}
    return coco.load(f"coco:{folder}", "train", **options)


def test_batches_hold_what_the_files_say(folder):
    data = load(folder, mask_size=28)
    assert data.class_names == ("wedge", "box")
    assert data.annotations.category_ids == (4, 90)
    (batch,) = data.epoch()
    images, targets = batch
    # The wide image is limited by its long side, the others by their short one;
    # the largest of each, padded to a multiple of 32.
    assert images.shape == (4, 96, 96, 3) and images.dtype == tf.float32
    np.testing.assert_array_equal(
        targets["image_size"], [[48, 96], [96, 48], [64, 96], [64, 64]]
    )
    wide = np.array([[10, 10, 50, 30], [60, 5, 76, 35]]) * 96 / 80
    high = np.array([[4, 8, 24, 48]]) * 96 / 64
    crowd = np.array([[2, 5, 12, 15]]) * 64 / 20
    padding = [[-1] * 4]
    np.testing.assert_allclose(targets["boxes"][0], wide, rtol=1e-6)
    np.testing.assert_allclose(targets["boxes"][1], [*high, *padding], rtol=1e-6)
    np.testing.assert_allclose(targets["boxes"][2], padding * 2)
    np.testing.assert_allclose(targets["boxes"][3], [*crowd, *padding], rtol=1e-6)
    classes = [[0, 1], [1, -1], [-1, -1], [1, -1]]
    np.testing.assert_array_equal(targets["classes"], classes)
    ignored = np.zeros((4, 2), bool)
    ignored[3, 0] = True
    np.testing.assert_array_equal(targets["ignored"], ignored)
    assert targets["masks"].shape == (4, 2, 28, 28)
    np.testing.assert_array_equal(targets["masks"][2], -1)
    assert [targets[k].dtype for k in ("boxes", "classes", "ignored", "masks")] == [
        tf.float32,
        tf.int32,
        tf.bool,
        tf.float32,
    ]
    # Black is normalised before the padding, which is zeros.
    black = -np.array(IMAGENET_MEAN) / np.array(IMAGENET_STD)
    np.testing.assert_allclose(images[0, 0, 0], black, rtol=1e-5)
    np.testing.assert_array_equal(images[0, 48:], 0)


@pytest.mark.parametrize("training", [False, True])
def test_boxes_and_masks_lie_on_their_objects(folder, training):
    """Whatever is resized and flipped: white is where boxes and masks say."""
    data = load(folder, mask_size=56, training=training)
    flips = set()
    for epoch in range(4 if training else 1):
        for images, targets in data.epoch(epoch):
            white = images.numpy()[..., 0] > 0
            for image, boxes, masks in zip(
                white, targets["boxes"].numpy(), targets["masks"].numpy(), strict=True
            ):
                drawn = np.zeros(image.shape)
                for box, mask in zip(boxes, masks, strict=True):
                    if box[0] < 0:
                        continue
                    x1, y1, x2, y2 = np.rint(box).astype(int)
                    part = tf.image.resize(mask[..., None], (y2 - y1, x2 - x1))[..., 0]
                    drawn[y1:y2, x1:x2] = np.maximum(drawn[y1:y2, x1:x2], part)
                    flips.add(bool(mask[0, -1] > mask[0, 0]))
                union = (image | (drawn > 0.5)).sum()
                # Only pixels at the outlines differ.
                assert (image ^ (drawn > 0.5)).sum() <= 0.06 * union
    assert flips == ({False, True} if training else {False})


def test_the_order_is_a_function_of_seed_and_epoch(folder):
    def digest(data, *position):
        return [
            (tuple(i.shape), float(tf.reduce_sum(i * i)), t["boxes"].numpy().tolist())
            for i, t in data.dataset(*position)
        ]

    data = load(folder, training=True, batch_size=3, seed=5)
    assert data.steps_per_epoch == 2
    both = digest(data, 0, 0, 2)
    assert len(both) == 4
    assert digest(load(folder, training=True, batch_size=3, seed=5), 0, 0, 2) == both
    assert digest(data, 0, 1, 2) == both[1:] and digest(data, 1, 1, 1) == both[3:]
    assert digest(load(folder, training=True, batch_size=3, seed=6), 0, 0, 2) != both
    assert both[:2] != both[2:]
    # In evaluation every image is there once, in the files' order.
    assert [len(i) for i, _ in load(folder, batch_size=3).dataset(0, 0, 2)] == [
        3,
        1,
        3,
        1,
    ]
    with pytest.raises(ValueError, match="step=3"):
        data.epoch(0, 3)


def test_workers_and_replicas_share_the_global_batches(folder):
    Context = collections.namedtuple(
        "Context",
        "num_input_pipelines input_pipeline_id num_replicas_in_sync "
        "get_per_replica_batch_size",
    )
    data = load(folder, training=True, batch_size=4)
    ((images, together),) = data.epoch(3)
    parts = []
    for worker in range(2):
        context = Context(2, worker, 4, lambda batch: batch // 4)
        parts += list(data.input_fn(3, 0, 1)(context))
    assert len(parts) == 4
    for row, (image, part) in enumerate(parts):
        # With the padding, too: all anchors are the same as on one device.
        np.testing.assert_array_equal(image[0], images[row])
        count = int(tf.reduce_sum(tf.cast(part["classes"] >= 0, tf.int32)))
        np.testing.assert_array_equal(
            part["boxes"][0, :count], together["boxes"][row, :count]
        )
    with pytest.raises(ValueError, match="replicas=4"):
        load(folder).input_fn()(context)


def test_batches_are_of_wide_or_of_high_images():
    wide = np.arange(50) % 3 > 0
    order = epoch_order(1, 0, wide, 4).reshape(-1, 4)
    assert order.shape == (13, 4)
    # Every image is there; two are there again, to fill the last batch.
    assert sorted(set(order.ravel())) == list(range(50))
    mixed = sum(len(set(wide[batch])) > 1 for batch in order)
    assert mixed <= 2
    assert not np.array_equal(order, epoch_order(2, 0, wide, 4).reshape(-1, 4))


def test_padded_sizes_are_known_before_the_images_are_read():
    random = np.random.default_rng(0)
    sizes = random.integers(1, 900, (50, 2))
    for sides in ((64, 90), (800, 1333)):
        expected = [
            -(-resized_shape(*size, *sides).numpy() // 32) * 32 for size in sizes
        ]
        np.testing.assert_array_equal(padded_sizes(sizes, sides), expected)


@pytest.mark.parametrize(
    "size, sides, expected",
    [
        # Published: short side 800 unless the long one would pass 1333.
        ((480, 640), (800, 1333), (800, 1067)),
        ((640, 480), (800, 1333), (1067, 800)),
        ((300, 900), (800, 1333), (444, 1333)),
        ((1, 1000), (100, 200), (1, 200)),
    ],
)
def test_resized_shape(size, sides, expected):
    assert tuple(resized_shape(*size, *sides).numpy()) == expected


def test_polygons_and_rle_of_one_object_agree():
    rows, columns = np.mgrid[:60, :80] + 0.5
    mask = (columns - 20) / 30 + (rows - 10) / 40 < 1
    mask &= (columns > 20) & (rows > 10)
    box = np.array([20.0, 10, 50, 50])
    polygon = box_mask([[20, 10, 50, 10, 20, 50]], box, 60, 80, 14)
    encoded = box_mask(rle_encode(mask), box, 60, 80, 14)
    # Both are the covered part of each cell: half on the diagonal. The polygon's
    # outline is drawn to half a fine cell, the RLE's to a pixel.
    assert np.abs(polygon - encoded).max() < 0.6
    assert np.abs(polygon - encoded).mean() < 0.03
    assert abs(encoded.mean() - 0.5) < 0.02 and abs(polygon.mean() - 0.5) < 0.03
    # A quarter of a pixel inside: cells cut pixels exactly.
    single = np.zeros((4, 4))
    single[1, 2] = 1
    cut = box_mask(rle_encode(single), np.array([2.25, 1.0, 3.25, 2.0]), 4, 4, 2)
    np.testing.assert_allclose(cut, [[1, 0.5], [1, 0.5]], atol=1e-6)


def test_compressed_rle_is_pycocotools():
    from pycocotools import mask as masks

    random = np.random.default_rng(0)
    for shape in ((1, 1), (37, 53), (300, 200)):
        mask = (random.random(shape) < 0.3).astype("uint8")
        text = masks.encode(np.asfortranarray(mask))["counts"].decode()
        assert runs_of_string(text) == rle_encode(mask)["counts"]
    for wrong in ("a\x7f", "~~~~~~~~~~~~~~~~", "PPPo"):
        with pytest.raises(ValueError, match="RLE"):
            runs_of_string(wrong)


HUGE = 10**400
# An object's box, of a picture of 40x80 pixels, and where all of that is ignored.
BOX, WHOLE = [60, 5, 76, 35], [0, 0, 80, 40]
GOOD = coco_folder.rectangle(60, 5, 16, 30)
# What is wrong with it; the box that is left, if any; and whether it is ignored.
BROKEN = [
    ({"category_id": 5}, "unknown category", BOX, True),
    ({"image_id": [7]}, "unknown image", None, None),
    ({"bbox": [10, 10, 0, 5]}, "box without an area", None, None),
    ({"bbox": [70, 10, 30, 5]}, "box outside of the image", [70, 10, 80, 15], False),
    ({"bbox": [-3, -9, 30, 19]}, "box outside of the image", [0, 0, 27, 10], False),
    ({"bbox": [82, 10, 30, 5]}, "box outside of the image", None, None),
    ({"bbox": [1, 2, "3", 4]}, "malformed entry", WHOLE, True),
    ({"bbox": [1, float("nan"), 3, 4]}, "malformed entry", WHOLE, True),
    ({"bbox": [1, 2, 3, HUGE]}, "malformed entry", WHOLE, True),
    ({"iscrowd": 2}, "malformed entry", BOX, True),
    ({"iscrowd": []}, "malformed entry", BOX, True),
    ({"area": "large"}, "malformed entry", BOX, False),
    ({"segmentation": []}, "bad segmentation", BOX, True),
    ({"segmentation": [[1, 2, 3, 4]]}, "bad segmentation", BOX, True),
    ({"segmentation": [[1, 2, 3, 4], *GOOD]}, "bad segmentation", BOX, False),
    ({"segmentation": [*GOOD, [1, 2, 3, 4, 5, 1e9]]}, "bad segmentation", BOX, False),
    ({"segmentation": [[1, 2, 3, 4, 5, HUGE]]}, "bad segmentation", BOX, True),
    ({"segmentation": {"size": [9, 9], "counts": [81]}}, "bad segmentation", BOX, True),
    ({"segmentation": {"size": [40, 80], "counts": "o" * 50}},)
    + ("bad segmentation", BOX, True),
    (
        {"segmentation": {"size": [40, 80], "counts": [0.5, 3199.5]}},
        "bad segmentation",
        BOX,
        True,
    ),
    (
        {"segmentation": {"size": [40, 80], "counts": [1]}},
        "bad segmentation",
        BOX,
        True,
    ),
]


@pytest.mark.parametrize("change, kind, box, ignored", BROKEN)
def test_what_is_right_of_broken_annotations_is_used(
    change, kind, box, ignored, tmp_path
):
    content = coco_folder.content()
    content["annotations"][1] |= change
    coco_folder.write(tmp_path, content)
    with pytest.raises(ValueError, match=r"annotations\[1\] \(id 22\)") as error:
        load(tmp_path, mask_size=28)
    for part in (f"1 x {kind}", "instances_train.json", "skip_bad=True"):
        assert part in str(error.value)
    report = tmp_path / "out" / "bad.jsonl"
    data = load(tmp_path, mask_size=28, skip_bad=True, report=report)
    assert data.reader.problems.counts == {kind: 1}
    (line,) = report.read_text().splitlines()
    assert json.loads(line)["entry"] == "annotations[1] (id 22)"
    found = data.annotations.objects_of(0)
    assert len(data.annotations.objects) == 3 + (box is not None)
    assert found.boxes[1:].tolist() == ([box] if box else [])
    assert found.crowds[1:].tolist() == ([ignored] if box else [])
    # The rest of it is as good as any: masks and figures are made of it.
    if box and not ignored and "segmentation" in change:
        ((_, targets),) = data.epoch()
        np.testing.assert_allclose(targets["masks"][0, 1], 1.0, atol=1e-6)
    if box:
        coco_metrics(coco_ground_truth(data.annotations, [0, 1, 2, 3]), [], "mask")


@pytest.mark.parametrize(
    "change",
    [
        {"iscrowd": None},
        {"iscrowd": False},
        {"iscrowd": 0.0},
        {"image_id": 7.0, "category_id": 90.0},
        {"area": None},
        {"bbox": [60.0, 4.5, 20.9, 30.5]},
    ],
)
def test_what_other_programs_write_is_as_good(change, folder, tmp_path):
    content = coco_folder.content()
    content["annotations"][1] |= change
    coco_folder.write(tmp_path, content)
    objects = load(tmp_path, mask_size=28).annotations.objects
    assert objects.classes.tolist() == [0, 1, 1, 1] and not objects.crowds[:3].any()
    assert objects.boxes[:, 2].max() <= 80


def test_ids_and_sizes_may_be_floats_and_ids_long(tmp_path):
    content = coco_folder.content()
    for entry in content["images"]:
        entry |= {"id": 2**62 + entry["id"], "height": float(entry["height"])}
    for entry in content["annotations"]:
        entry["image_id"] += 2**62
    content["images"][1]["id"] = 3.0
    content["annotations"][2]["image_id"] = 3
    crowd = content["annotations"][3]["segmentation"]
    crowd |= {"size": [20.0, 20.0], "counts": list(map(float, crowd["counts"]))}
    coco_folder.write(tmp_path, content)
    data = load(tmp_path, mask_size=28)
    assert [image.id for image in data.annotations.images] == [
        *(2**62 + 7, 3),
        *(2**62 + 11, 2**62 + 12),
    ]
    ((_, targets),) = data.epoch()
    assert targets["masks"][3, 0].numpy().mean() > 0.9
    truth = coco_ground_truth(data.annotations, [0, 1, 2, 3])
    results = [
        {"image_id": 2**62 + 7, "category_id": 4, "bbox": [10, 10, 40, 20], "score": 1}
    ]
    assert coco_metrics(truth, results, "box")["box_ap"] == pytest.approx(0.5)
    assert coco_metrics(truth, [], "mask")["mask_ap"] == 0
    for wrong in (2**63, 1.5, True, 1e300):
        content["images"][1]["id"] = wrong
        coco_folder.write(tmp_path, content)
        with pytest.raises(ValueError, match="64 bits|not an integer"):
            load(tmp_path)


def test_boxes_that_are_not_in_pixels_are_refused(tmp_path):
    content = coco_folder.content()
    for entry in content["annotations"]:
        entry["bbox"] = [value / 100 for value in entry["bbox"]]
    coco_folder.write(tmp_path, content)
    with pytest.raises(ValueError, match="has boxes in 0..1.*multiply them"):
        load(tmp_path)
    content["annotations"][0]["bbox"] = [0, 0, 30, 20]
    coco_folder.write(tmp_path, content)
    assert len(load(tmp_path).annotations.objects) == 4


@pytest.mark.parametrize(
    "change, kind",
    [
        ({"file_name": "none.png"}, "missing file"),
        ({"file_name": "../train/wide.png"}, "file name outside of the folder"),
        ({"file_name": "/etc/hostname"}, "file name outside of the folder"),
        ({"file_name": None}, "malformed entry"),
        ({"id": 3}, "duplicate id"),
        ({"width": 0}, "malformed entry"),
        ({"width": 10**9, "height": 10**9}, "image too large"),
    ],
)
def test_images_that_cannot_be_used_take_their_annotations_along(
    change, kind, tmp_path
):
    content = coco_folder.content()
    content["images"][1 if "id" not in change else 0] |= change
    coco_folder.write(tmp_path, content)
    with pytest.raises(ValueError, match=f"1 x {kind}"):
        load(tmp_path)
    if "id" in change:
        return
    data = load(tmp_path, skip_bad=True)
    assert [image.id for image in data.annotations.images] == [7, 11, 12]
    assert data.reader.problems.counts == {kind: 1}


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "is not a JSON file"),
        ("[" * 100_000, "is not a JSON file"),
        ("[1]", "not an annotation file"),
        ('{"images": [], "annotations": {}, "categories": []}', r"\['annotations'\]"),
        ('{"images": [], "annotations": [], "categories": []}', "0 images"),
        ('{"images": [3], "annotations": [], "categories": []}', "is not an object"),
    ],
)
def test_files_that_are_no_annotations_are_refused(text, message, folder, tmp_path):
    coco_folder.write(tmp_path, {})
    (tmp_path / "annotations" / "instances_train.json").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        load(tmp_path)
    assert "instances_train.json" in str(error.value)


def test_boxes_alone_give_no_masks(tmp_path):
    content = coco_folder.content()
    for entry in content["annotations"]:
        entry["segmentation"] = []
    coco_folder.write(tmp_path, content)
    assert len(load(tmp_path).annotations.objects) == 4
    with pytest.raises(ValueError, match="boxes but no segmentations"):
        load(tmp_path, mask_size=28, skip_bad=True)


def test_missing_files_and_splits_are_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="split='validation'"):
        coco.load(f"coco:{folder}", "validation")
    with pytest.raises(ValueError, match="received: source='coco'".capitalize()):
        coco.load("coco")
    with pytest.raises(ValueError, match=r"sides=\(9, 8\)"):
        load(folder, sides=(9, 8))
    with pytest.raises(ValueError, match="skip_bad=False"):
        load(folder, report=tmp_path / "x")


@pytest.mark.parametrize("damage", ["no image", "another size"])
def test_unreadable_images_stop_or_are_ignored(damage, tmp_path):
    coco_folder.write(tmp_path, coco_folder.content())
    file = tmp_path / "train" / "high.png"
    wide = (tmp_path / "train" / "wide.png").read_bytes()
    file.write_bytes(b"no image" if damage == "no image" else wide)
    with pytest.raises(tf.errors.OpError, match=r"high\.png"):
        list(load(tmp_path).epoch())
    data = load(tmp_path, skip_bad=True, mask_size=28, report=tmp_path / "bad.jsonl")
    ((_, targets),) = data.epoch()
    # All of the image is a crowd: nothing in it is trained.
    np.testing.assert_array_equal(targets["boxes"][1, 0], [0, 0, 48, 96])
    assert targets["ignored"].numpy()[:, 0].tolist() == [False, True, False, True]
    assert data.reader.unreadable == {1}
    assert "high.png" in (tmp_path / "bad.jsonl").read_text()
    np.testing.assert_array_equal(targets["classes"][0], [0, 1])


def photos(folder, orientations, height=48, width=64):
    """Photos of one bright object on dark ground, annotated as they are seen."""
    box = [40, 8, 16, 30]
    pixels = np.full((height, width, 3), 20, "uint8")
    pixels[8:38, 40:56] = 240
    (folder / "annotations").mkdir()
    (folder / "train").mkdir()
    images, annotations = [], []
    for number in orientations:
        contents = camera_photo(pixels, number)
        (folder / "train" / f"{number}.jpg").write_bytes(contents)
        images.append({"id": number, "file_name": f"{number}.jpg"})
        images[-1] |= {"height": height, "width": width}
        mask = coco_folder.rectangle(*box)
        annotations.append(coco_folder.annotation(number, number, 4, box, mask))
    content = {
        "images": images,
        "annotations": annotations,
        "categories": coco_folder.CATEGORIES,
    }
    (folder / "annotations" / "instances_train.json").write_text(json.dumps(content))
    return content


@pytest.mark.parametrize("training", [False, True])
def test_boxes_lie_on_photos_of_every_orientation(training, tmp_path):
    photos(tmp_path, ORIENTATIONS)
    options = {"batch_size": 8, "mean": (0,) * 3, "std": (1,) * 3}
    data = load(tmp_path, training=training, sides=(48, 64), **options)
    with pytest.warns(UserWarning, match="EXIF orientation [234]: its boxes") as said:
        ((images, targets),) = data.epoch()
    assert [one.category for one in said].count(UserWarning) == 1
    lefts = targets["boxes"][:, 0, 0].numpy()
    assert set(lefts.round()) == ({8, 40} if training else {40})
    for image, (box,) in zip(images.numpy(), targets["boxes"].numpy(), strict=True):
        left, top, right, bottom = box.round().astype(int)
        inside = image[top + 2 : bottom - 2, left + 2 : right - 2]
        assert inside.min() > 0.9
        image[top - 2 : bottom + 2, left - 2 : right + 2] = 0
        assert image.max() < 0.1


def test_boxes_of_the_picture_as_it_is_stored_are_refused(tmp_path):
    content = photos(tmp_path, [1, 8])
    content["images"][1] |= {"height": 64, "width": 48}
    content["annotations"][1]["bbox"] = [8, 8, 30, 16]
    file = tmp_path / "annotations" / "instances_train.json"
    file.write_text(json.dumps(content))
    with pytest.raises(
        tf.errors.OpError, match=r"8\.jpg.*before its EXIF orientation 8"
    ):
        list(load(tmp_path).epoch())
    data = load(tmp_path, skip_bad=True)
    list(data.epoch())
    assert data.reader.unreadable == {1}


def test_shapes_are_written_where_they_are_read(tmp_path, monkeypatch):
    small = coco.Shapes(4, 2, 48)
    monkeypatch.setattr("keras_sa.data.coco.shapes.Shapes", lambda: small)
    data = coco.load(f"shapes:{tmp_path}", sides=(48, 96), batch_size=2, mask_size=28)
    assert data.class_names == ("disc", "square", "triangle")
    assert data.num_examples == 4 and data.training
    assert coco.load(f"shapes:{tmp_path}", "validation").num_examples == 2
    images, targets = next(iter(data.dataset()))
    assert images.shape[0] == 2 and targets["masks"].shape[-1] == 28


def tfds_builder(folder):
    """A prepared set with the features of TFDS' coco."""
    datasets = needed("tensorflow_datasets")
    features = datasets.features
    source = load(folder)

    class Coco(datasets.core.GeneratorBasedBuilder):
        VERSION = datasets.core.Version("1.0.0")
        pkg_dir_path = folder

        def _info(self):
            return datasets.core.DatasetInfo(
                builder=self,
                features=features.FeaturesDict(
                    {
                        "image": features.Image(encoding_format="png"),
                        "image/filename": features.Text(),
                        "image/id": np.int64,
                        "objects": features.Sequence(
                            {
                                "area": np.int64,
                                "bbox": features.BBoxFeature(),
                                "id": np.int64,
                                "is_crowd": np.bool_,
                                "label": features.ClassLabel(names=["wedge", "box"]),
                            }
                        ),
                    }
                ),
            )

        def _split_generators(self, manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for index, image in enumerate(source.annotations.images):
                objects = source.annotations.objects_of(index)
                size = np.array([image.height, image.width] * 2, "float32")
                yield (
                    index,
                    {
                        "image": source.source.files[index],
                        "image/filename": image.name,
                        "image/id": image.id,
                        "objects": [
                            {
                                "area": int(objects.areas[row]),
                                "bbox": features.BBox(
                                    *objects.boxes[row][[1, 0, 3, 2]] / size
                                ),
                                "id": row,
                                "is_crowd": bool(objects.crowds[row]),
                                "label": int(objects.classes[row]),
                            }
                            for row in range(len(objects))
                        ],
                    },
                )

    builder = Coco(data_dir=str(folder / "tfds"))
    builder.download_and_prepare()
    return builder


@pytest.mark.slow
def test_tfds_gives_the_same_batches(folder, monkeypatch):
    builder = tfds_builder(folder)
    monkeypatch.setattr(
        "keras_sa.data.coco.tfds_objects.builder_of", lambda name: builder
    )

    def rows(data):
        found = []
        for images, targets in data.epoch():
            for image, boxes, classes, ignored in zip(
                images.numpy(),
                targets["boxes"].numpy(),
                targets["classes"].numpy(),
                targets["ignored"].numpy(),
                strict=True,
            ):
                here = classes >= 0
                found.append((image, boxes[here], classes[here], ignored[here]))
        return sorted(found, key=lambda row: row[0].sum())

    options = {"sides": (64, 96), "batch_size": 4}
    given = coco.load("tfds:coco/2017", "train", training=False, **options)
    assert given.class_names == ("wedge", "box") and given.num_examples == 4
    expected = load(folder)
    for one, other in zip(rows(given), rows(expected), strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)
    training = coco.load("tfds:coco/2017", "train", **{**options, "batch_size": 3})
    assert [len(images) for images, _ in training.epoch(1)] == [3, 3]
    with pytest.raises(ValueError, match="no masks"):
        coco.load("tfds:coco/2017", mask_size=28)
