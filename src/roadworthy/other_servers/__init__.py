"""Configurations and archives of other servers as data: read, checked by what they mean, and written. Nothing here runs a model."""
