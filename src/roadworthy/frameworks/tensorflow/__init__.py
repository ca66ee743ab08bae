"""TensorFlow and Keras, for the runtimes and build steps that use them."""
