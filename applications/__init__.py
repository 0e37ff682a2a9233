"""The networks: `from keras_sa.applications import SAResNet50`."""

from keras_sa.applications import sa_resnet
from keras_sa.applications.attention_resnet import AttentionResNet
from keras_sa.applications.detectors import SAFasterRCNN
from keras_sa.applications.detectors import SAMaskRCNN
from keras_sa.applications.detectors import SARetinaNet
from keras_sa.applications.sa_resnet import SAResNet50
from keras_sa.applications.sa_resnet import SAResNet101
from keras_sa.applications.sa_resnet import SAResNet152
from keras_sa.applications.stage_maps import feature_pyramid

__all__ = [
    "AttentionResNet",
    "SAFasterRCNN",
    "SAMaskRCNN",
    "SAResNet50",
    "SAResNet101",
    "SAResNet152",
    "SARetinaNet",
    "feature_pyramid",
    "sa_resnet",
]
