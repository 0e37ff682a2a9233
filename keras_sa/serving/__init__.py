"""Trained networks as fast and portable as they can be."""

from keras_sa.serving.client import predict_grpc
from keras_sa.serving.client import predict_rest
from keras_sa.serving.formats.calibration import CalibrationImages
from keras_sa.serving.formats.conversion import convert
from keras_sa.serving.fusion.fused_network import FusionReport
from keras_sa.serving.fusion.fused_network import fuse
from keras_sa.serving.fusion.precision import with_precision
from keras_sa.serving.saved_model.classifier_export import export
from keras_sa.serving.saved_model.detector_export import export_detector
from keras_sa.serving.saved_model.limits import ImageLimits
from keras_sa.serving.tf_serving import write_server_files
from keras_sa.serving.tf_serving import write_warmup

__all__ = [
    "CalibrationImages",
    "FusionReport",
    "ImageLimits",
    "convert",
    "export",
    "export_detector",
    "fuse",
    "predict_grpc",
    "predict_rest",
    "with_precision",
    "write_server_files",
    "write_warmup",
]
