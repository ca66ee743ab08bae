"""What the export for Inferentia is made of."""
