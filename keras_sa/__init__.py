"""SA-Net (shuffle attention) for Keras 3 and TensorFlow.

After `import keras_sa` Keras loads every model that was saved with its layers.
"""

from pathlib import Path

from keras_sa.saved_classes import register_saved_classes

__version__ = "0.1.0"

_root = Path(__file__).resolve().parent.parent
if (_root / "setup.py").is_file() and (_root / "applications").is_dir():
    # A source checkout: `keras_sa.applications` and `keras_sa.scripts` are the
    # folders beside this one. An installed package holds them itself.
    __path__.append(str(_root))
del _root

register_saved_classes()
del register_saved_classes
