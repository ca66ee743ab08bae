"""What Keras has for preprocessing: the ``preprocess_input`` of its applications, and its layers. Keras itself is not imported."""
