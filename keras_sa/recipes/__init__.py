"""Trainings by name: which network, data and schedule, and their sessions."""
