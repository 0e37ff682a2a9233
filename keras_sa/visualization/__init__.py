"""Pictures of what the networks do. Figures need no display."""

from keras_sa.visualization.attention_gates import attention_maps
from keras_sa.visualization.canvas import displayable
from keras_sa.visualization.canvas import overlay
from keras_sa.visualization.class_activation_mapping import grad_cam
from keras_sa.visualization.classification import confusion_matrix_figure
from keras_sa.visualization.classification import predictions_figure
from keras_sa.visualization.detections import annotated_and_found_figure
from keras_sa.visualization.detections import detections_figure
from keras_sa.visualization.explanation import Explanation
from keras_sa.visualization.explanation import explain
from keras_sa.visualization.explanation import explanation_figure
from keras_sa.visualization.group_masking import GroupScores
from keras_sa.visualization.group_masking import group_scores
from keras_sa.visualization.mean_activations import class_activations
from keras_sa.visualization.tensorboard_pictures import TensorBoardPictures

__all__ = [
    "Explanation",
    "GroupScores",
    "TensorBoardPictures",
    "annotated_and_found_figure",
    "attention_maps",
    "class_activations",
    "confusion_matrix_figure",
    "detections_figure",
    "displayable",
    "explain",
    "explanation_figure",
    "grad_cam",
    "group_scores",
    "overlay",
    "predictions_figure",
]
