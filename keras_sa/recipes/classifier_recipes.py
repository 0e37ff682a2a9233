"""Trainings by name: everything but the images and the machine."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from types import MappingProxyType

import keras

from keras_sa.data import Augmentation
from keras_sa.recipes.schedules import CosineDecay
from keras_sa.recipes.schedules import StepDecay
from keras_sa.training.l2_sgd import L2SGD

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class ClassifierRecipe:
    """How a network is trained.

    Args:
        command: The command that runs it.
        hardware: What it is meant for.
        expected: The result, where it was measured or claimed and by whom, or "not
            measured".
        model: Name of a builder, such as `"SAResNet50"`.
        model_options: Its keyword arguments.
        data: The source for `keras_sa.data.load`, `None` if it is the user's.
        image_size: Height and width.
        channels: Of the images.
        epochs: How many.
        batch_size: The global batch the learning rate is for.
        learning_rate: For this batch size, see `scaled_learning_rate`.
        schedule: How it changes.
        momentum: Of SGD.
        l2: Added to every gradient.
        clipnorm: The largest norm of the whole gradient, `None` for any.
        ema: Momentum of the moving average of the weights, 0 for none.
        policy: Keras' dtype policy.
        augmentation: Of the training images.
        head_epochs: How many epochs only the last layer is trained, before all.
        min_steps: How many steps the training of all layers has at least, and that of
            the last one half as many: few images are seen in more epochs.
        freeze_batch_norms: Whether batch norms stay in inference mode.
        sync_batch_norm: Whether batch norms take their statistics over all devices,
            which gives one device's result, or each device over its own images.
    """

    command: str
    hardware: str
    expected: str
    model: str
    model_options: Mapping = field(default_factory=lambda: MappingProxyType({}))
    data: str | None = None
    image_size: int = 224
    channels: int = 3
    epochs: int = 100
    batch_size: int = 256
    learning_rate: float = 0.1
    schedule: StepDecay | CosineDecay = StepDecay()
    momentum: float = 0.9
    l2: float = 1e-4
    clipnorm: float | None = None
    ema: float = 0.0
    policy: str = "float32"
    augmentation: Augmentation = Augmentation()
    head_epochs: int = 0
    min_steps: int = 0
    freeze_batch_norms: bool = False
    sync_batch_norm: bool = True

    def scaled_learning_rate(self, batch_size: int) -> float:
        """The learning rate in proportion to the batch size."""
        return self.learning_rate * batch_size / self.batch_size

    def lengthened(self, steps_per_epoch: int) -> "ClassifierRecipe":
        """The recipe with as many epochs as `min_steps` takes."""
        least = math.ceil(self.min_steps / steps_per_epoch)
        half = math.ceil(self.min_steps / 2 / steps_per_epoch)
        return dataclasses.replace(
            self,
            epochs=max(self.epochs, least),
            head_epochs=self.head_epochs and max(self.head_epochs, half),
        )

    def optimizer(
        self, learning_rate: float, epochs: int, steps_per_epoch: int
    ) -> keras.optimizers.Optimizer:
        """A new optimizer for a training of this length."""
        return L2SGD(
            self.schedule.build(learning_rate, epochs, steps_per_epoch),
            momentum=self.momentum,
            l2=self.l2,
            global_clipnorm=self.clipnorm,
            use_ema=self.ema > 0,
            ema_momentum=self.ema,
        )


_PUBLISHED = ClassifierRecipe(
    command="keras-sa train --recipe sa_resnet50_imagenet --data tfds:imagenet2012 "
    "--strategy mirrored --directory runs/sa_resnet50",
    hardware="8 GPUs with 32 images each",
    expected="the paper's claim: 77.72 % top-1, 93.80 % top-5; " + NOT_MEASURED,
    model="SAResNet50",
    model_options=MappingProxyType({"weights": None}),
    # As published, and XLA compiles it.
    sync_batch_norm=False,
)
_SMALL = {"weights": None, "stem": "small", "attention_options": {"groups": 4}}

RECIPES: dict[str, ClassifierRecipe] = {
    "sa_resnet50_imagenet": _PUBLISHED,
    "sa_resnet101_imagenet": dataclasses.replace(
        _PUBLISHED,
        command="keras-sa train --recipe sa_resnet101_imagenet "
        "--data tfds:imagenet2012 --strategy mirrored --directory runs/sa_resnet101",
        expected="the paper's claim: 78.96 % top-1; " + NOT_MEASURED,
        model="SAResNet101",
    ),
    "sa_resnet50_modern": dataclasses.replace(
        _PUBLISHED,
        command="keras-sa train --recipe sa_resnet50_modern --data tfds:imagenet2012 "
        "--strategy mirrored --directory runs/sa_resnet50_modern",
        hardware="8 GPUs with 128 images each and bfloat16",
        expected=NOT_MEASURED,
        batch_size=1024,
        learning_rate=0.5,
        schedule=CosineDecay(warmup_epochs=5),
        l2=5e-5,
        ema=0.9999,
        policy="mixed_bfloat16",
        augmentation=Augmentation(mixup=0.2, cutmix=1.0, label_smoothing=0.1),
    ),
    "fine_tune": ClassifierRecipe(
        command="keras-sa train --recipe fine_tune --data folder:photos "
        "--validation-fraction 0.2 --directory runs/photos",
        hardware="one GPU, or patience",
        expected="on photos "
        + NOT_MEASURED
        + "; results/fine_tune has a small network's",
        model="SAResNet50",
        model_options=MappingProxyType({"weights": "imagenet"}),
        epochs=10,
        batch_size=32,
        learning_rate=0.005,
        schedule=CosineDecay(warmup_epochs=1),
        clipnorm=1.0,
        augmentation=Augmentation(scale=(0.25, 1.0), label_smoothing=0.1),
        head_epochs=2,
        min_steps=200,
        freeze_batch_norms=True,
    ),
    "digits": ClassifierRecipe(
        command="keras-sa train --recipe digits --directory runs/digits",
        hardware="2 CPU cores",
        expected="97.2 % of 360 test images, in a minute",
        model="AttentionResNet",
        model_options=MappingProxyType({**_SMALL, "blocks": (1, 1), "width": 16}),
        data="digits",
        image_size=8,
        channels=1,
        epochs=10,
        batch_size=64,
        learning_rate=0.05,
        schedule=CosineDecay(warmup_epochs=1),
        l2=5e-4,
        augmentation=Augmentation(scale=(0.7, 1.0), flip=False),
    ),
    "fashion_mnist": ClassifierRecipe(
        command="keras-sa launch --workers 2 -- train --recipe fashion_mnist "
        "--strategy multi_worker --directory runs/fashion_mnist --save-every 100",
        hardware="2 CPU cores",
        expected="92.4 % of 10,000 test images, at 200 images/s in 45 minutes, "
        "killed and resumed once on the way",
        model="AttentionResNet",
        model_options=MappingProxyType(
            {**_SMALL, "blocks": (1, 2, 2), "width": 8, "bottleneck_width": 16}
        ),
        data="fashion_mnist",
        image_size=28,
        channels=1,
        epochs=8,
        batch_size=128,
        learning_rate=0.1,
        schedule=CosineDecay(warmup_epochs=0.5),
        l2=5e-4,
        augmentation=Augmentation(scale=(0.85, 1.0), ratio=(0.9, 1.1)),
    ),
}


def get_recipe(name: str) -> ClassifierRecipe:
    """The recipe of this name.

    Raises:
        ValueError: If there is none; the message lists the known names.
    """
    if name not in RECIPES:
        raise ValueError(
            f"`recipe` must be one of {list(RECIPES)}. Received: recipe={name!r}"
        )
    return RECIPES[name]
