"""Argument parsing only; each command imports its side inside itself."""
