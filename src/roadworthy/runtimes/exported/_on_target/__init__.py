"""Modules that an export holds too: they build and ask the model on its target, with or without Roadworthy."""
