"""Capture of TensorFlow and Keras models."""
