"""The page at ``/``: its files, and the figures that it shows."""
