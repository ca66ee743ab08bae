"""TensorFlow files to live models."""
