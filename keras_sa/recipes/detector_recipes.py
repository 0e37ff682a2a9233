"""Trainings of detectors by name: everything but the images and the machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from types import MappingProxyType

import keras

from keras_sa.recipes.classifier_recipes import NOT_MEASURED
from keras_sa.recipes.schedules import DropAfter
from keras_sa.training.l2_sgd import L2SGD


@dataclass(frozen=True)
class DetectorRecipe:
    """How a detector is trained.

    Args:
        command: The command that runs it.
        hardware: What it is meant for.
        expected: The result, where it was measured or claimed and by whom, or "not
            measured".
        detector: A name of `DETECTORS`.
        backbone: A name such as `"sa_resnet50"`, or the arguments of
            `keras_sa.applications.AttentionResNet`.
        backbone_weights: See `AttentionResNet`.
        freeze: Whether stem and first stage are kept, and batch norms in inference
            mode.
        options: Other arguments of the detector, by the detector's name.
        data: The source for `keras_sa.data.coco.load`, `None` if it is the user's.
        sides: See `keras_sa.data.coco.load`.
        epochs: How many.
        batch_size: The global batch the learning rate is for.
        learning_rate: For this batch size, see `scaled_learning_rate`.
        schedule: How it changes.
        momentum: Of SGD.
        l2: Added to every gradient.
        clipnorm: The largest norm of the whole gradient, `None` for any.
        policy: Keras' dtype policy.
    """

    command: str
    hardware: str
    expected: str
    detector: str = "faster_rcnn"
    backbone: str | Mapping = "sa_resnet50"
    backbone_weights: str | None = "imagenet"
    freeze: bool = True
    options: Mapping = field(default_factory=lambda: MappingProxyType({}))
    data: str | None = None
    sides: tuple[int, int] = (800, 1333)
    epochs: int = 12
    batch_size: int = 8
    learning_rate: float = 0.01
    schedule: DropAfter = DropAfter((8, 11))
    momentum: float = 0.9
    l2: float = 1e-4
    clipnorm: float | None = None
    policy: str = "float32"

    def scaled_learning_rate(self, batch_size: int) -> float:
        """The learning rate in proportion to the batch size."""
        return self.learning_rate * batch_size / self.batch_size

    def optimizer(
        self, learning_rate: float, steps_per_epoch: int
    ) -> keras.optimizers.Optimizer:
        """A new optimizer."""
        return L2SGD(
            self.schedule.build(learning_rate, self.epochs, steps_per_epoch),
            momentum=self.momentum,
            l2=self.l2,
            global_clipnorm=self.clipnorm,
        )


# Names of detectors and of their builders in `keras_sa.applications`.
DETECTORS = {
    "retinanet": "SARetinaNet",
    "faster_rcnn": "SAFasterRCNN",
    "mask_rcnn": "SAMaskRCNN",
}
# The detectors that need masks.
WITH_MASKS = ("mask_rcnn",)
MASK_SIZE = 56
_SMALL_REGIONS = {
    "channels": 64,
    "units": 256,
    "anchor_scale": 4.0,
    "proposal_samples": 64,
    "region_samples": 64,
    "train_proposals": 200,
    "test_proposals": 100,
}

RECIPES: dict[str, DetectorRecipe] = {
    # The paper's, whose schedule is mmdetection's "1x"; that one has the warm-up.
    "coco_1x": DetectorRecipe(
        command="keras-sa detect train --recipe coco_1x --data coco:FOLDER --skip-bad "
        "--strategy mirrored --directory runs/coco",
        hardware="8 GPUs with one image each",
        expected="the paper's claim: 1.0 AP more than with SE; " + NOT_MEASURED,
        schedule=DropAfter((8, 11), warmup_steps=500),
    ),
    "shapes": DetectorRecipe(
        command="keras-sa detect train --recipe shapes --directory runs/shapes",
        hardware="2 CPU cores",
        expected="box AP 0.39 and mask AP 0.38 with --detector mask_rcnn",
        backbone=MappingProxyType(
            {
                "blocks": (1, 1, 1, 1),
                "width": 16,
                "attention_options": {"groups": 4},
            }
        ),
        backbone_weights=None,
        freeze=False,
        options=MappingProxyType(
            {
                "retinanet": {"channels": 64, "depth": 2},
                "faster_rcnn": _SMALL_REGIONS,
                "mask_rcnn": _SMALL_REGIONS,
            }
        ),
        data="shapes",
        sides=(128, 224),
        epochs=12,
        batch_size=8,
        learning_rate=0.02,
        schedule=DropAfter((8, 11), warmup_steps=50),
        clipnorm=10.0,
    ),
}


def get_detector_recipe(name: str) -> DetectorRecipe:
    """The recipe of this name.

    Raises:
        ValueError: If there is none; the message lists the known names.
    """
    if name not in RECIPES:
        raise ValueError(
            f"`recipe` must be one of {list(RECIPES)}. Received: recipe={name!r}"
        )
    return RECIPES[name]
