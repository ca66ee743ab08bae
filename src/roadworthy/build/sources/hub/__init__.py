"""Folders of Hugging Face's transformers and of timm: the configuration says the architecture, the files beside it hold its weights."""
