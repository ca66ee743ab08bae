"""Targets other than a server: one file a target, found by its name; ``build/exported.py`` says what each defines."""
