"""What the export for TensorRT is made of."""
