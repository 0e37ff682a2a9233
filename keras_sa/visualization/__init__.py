"""Pictures of what the networks do. Figures need no display."""

from keras_sa.visualization.classification import confusion_matrix_figure
from keras_sa.visualization.classification import predictions_figure

__all__ = ["confusion_matrix_figure", "predictions_figure"]
