"""ONNX graphs made ready for a runtime: cleaned, of a newer operator set, in int8."""
