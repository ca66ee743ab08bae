"""The stand-in's backends."""
