"""Canopy Connect's API: its state, its operations and their answers."""
