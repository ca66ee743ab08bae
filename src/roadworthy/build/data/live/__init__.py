"""Data of a Python program in any form (arrays, data sets of the frameworks, generators) as named arrays, samples first."""
