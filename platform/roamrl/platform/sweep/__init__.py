"""Sweeps: a search over the settings of one arm's pretraining, scored on ``val``."""
