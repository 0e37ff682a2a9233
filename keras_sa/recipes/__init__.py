"""Trainings by name: which network, data and schedule, and their sessions."""

from keras_sa.recipes.classifier_recipes import get_recipe
from keras_sa.recipes.classifier_session import load_trained
from keras_sa.recipes.detector_session import load_detector

__all__ = ["get_recipe", "load_detector", "load_trained"]
