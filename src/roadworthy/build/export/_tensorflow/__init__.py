"""What the targets on TensorFlow share: any graph of a bundle as a frozen GraphDef, and SavedModels of it."""
