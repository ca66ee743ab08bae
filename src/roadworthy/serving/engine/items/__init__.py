"""What clients send as one sample each, images, texts and sounds, to the inputs of a model."""
