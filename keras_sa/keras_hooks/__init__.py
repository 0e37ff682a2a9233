"""All of Keras' private interface that this package touches.

Keras 3 is wrong or broken under `tf.distribute` in the places that `HOOKS` lists.
What mends them is here and nowhere else, so that a change in Keras has one place to
look at: `check_keras` compares every signature, and looks for every attribute, before
anything is trained. This is the ground floor: it imports nothing of the package.
"""

from keras_sa.keras_hooks.function_names import settle_function_names
from keras_sa.keras_hooks.layers import activation_functions
from keras_sa.keras_hooks.layers import layers_of
from keras_sa.keras_hooks.layers import layers_without_jit
from keras_sa.keras_hooks.layers import operations_of
from keras_sa.keras_hooks.layers import reduction_axes
from keras_sa.keras_hooks.layers import replaced
from keras_sa.keras_hooks.layers import set_moments
from keras_sa.keras_hooks.layers import set_seeds
from keras_sa.keras_hooks.layers import source_of
from keras_sa.keras_hooks.losses import ScalarLossError
from keras_sa.keras_hooks.losses import additional_losses
from keras_sa.keras_hooks.losses import data_loss
from keras_sa.keras_hooks.losses import loss_tracker
from keras_sa.keras_hooks.losses import update_loss_trackers
from keras_sa.keras_hooks.optimizer import set_updates
from keras_sa.keras_hooks.steps import build_from_spec
from keras_sa.keras_hooks.steps import global_batch_size
from keras_sa.keras_hooks.steps import set_building
from keras_sa.keras_hooks.steps import set_functions
from keras_sa.keras_hooks.steps import set_steps
from keras_sa.keras_hooks.table import ATTRIBUTES
from keras_sa.keras_hooks.table import HOOKS
from keras_sa.keras_hooks.table import check_keras

__all__ = [
    "ATTRIBUTES",
    "HOOKS",
    "ScalarLossError",
    "activation_functions",
    "additional_losses",
    "build_from_spec",
    "check_keras",
    "data_loss",
    "global_batch_size",
    "layers_of",
    "layers_without_jit",
    "loss_tracker",
    "operations_of",
    "reduction_axes",
    "replaced",
    "set_building",
    "set_functions",
    "set_moments",
    "set_seeds",
    "set_steps",
    "set_updates",
    "settle_function_names",
    "source_of",
    "update_loss_trackers",
]
