"""Samples that the original accepts: rows of real data, or made-up values inside stated ranges."""
