"""The supervisor, its worker processes, and what they say to each other."""
