"""A stand-in for polygraphy: what is asked of it is recorded beside the model, and ONNX Runtime answers."""

__version__ = "0.fake"
