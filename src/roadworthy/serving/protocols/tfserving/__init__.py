"""The interface of TensorFlow Serving."""
