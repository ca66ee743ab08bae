"""Parsers of model files that import no framework."""
