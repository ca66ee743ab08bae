"""Image processors of Hugging Face's transformers as steps: read from their fields, without importing the library."""
