"""What `keras.saving.load_model` needs to know of this package's classes."""

import importlib
import sys
from contextlib import contextmanager
from dataclasses import dataclass

from keras_sa.first_import import around_first_import

# Every class that `register_keras_serializable` registers, by its module.
SAVED_CLASSES = {
    "keras_sa.detection.feature_pyramid_network": ("UpsampleAdd",),
    "keras_sa.detection.rcnn": ("RCNN",),
    "keras_sa.detection.retinanet": ("RetinaNet",),
    "keras_sa.layers.bam": ("BAM",),
    "keras_sa.layers.batch_normalization": ("BatchNormalization",),
    "keras_sa.layers.cbam": ("CBAM",),
    "keras_sa.layers.efficient_channel_attention": ("EfficientChannelAttention",),
    "keras_sa.layers.shuffle_attention": ("ShuffleAttention",),
    "keras_sa.layers.spatial_group_enhance": ("SpatialGroupEnhance",),
    "keras_sa.layers.squeeze_excitation": ("SqueezeExcitation",),
    "keras_sa.recipes.schedules": ("WarmedUpDrops",),
    "keras_sa.serving.fusion.gates": (
        "ChannelGate",
        "DivideByGate",
        "NormalizingSpatialGate",
        "ReorderChannels",
        "SpatialGate",
        "TensorFlowSpatialGate",
        "WholeGate",
    ),
    "keras_sa.study.ablations": ("AblatedShuffleAttention",),
    "keras_sa.training.l2_sgd": ("L2SGD",),
    "keras_sa.utils.pyramid_backbone": ("PyramidBackbone",),
}


@dataclass(frozen=True)
class SavedClass:
    """Stands in Keras' registry for a class that is not imported yet.

    Importing the class registers it in this one's place.
    """

    module: str
    name: str

    def from_config(self, config, **options):
        found = getattr(importlib.import_module(self.module), self.name)
        return found.from_config(config, **options)


def register_saved_classes() -> None:
    """Registers all saved classes, now or when Keras is imported.

    A saved model may hold any of them; those that it holds are imported as it is
    loaded.
    """
    if "keras" in sys.modules:
        _register()
    else:
        around_first_import("keras", _then_register)


@contextmanager
def _then_register():
    yield
    _register()


def _register():
    import keras

    registry = keras.saving.get_custom_objects()
    for module, names in SAVED_CLASSES.items():
        for name in names:
            registry.setdefault(f"keras_sa>{name}", SavedClass(module, name))
