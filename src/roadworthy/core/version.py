"""The version of Roadworthy."""

__version__ = "0.1.0"
