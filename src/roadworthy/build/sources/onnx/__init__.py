"""ONNX files as sources."""
