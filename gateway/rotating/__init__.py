"""Replaces the secrets of the models' services: made, tried, used, taken back (DESIGN §11, P18)."""
