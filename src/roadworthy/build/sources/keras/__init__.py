"""Keras files to live models."""
