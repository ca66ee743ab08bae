"""The contract, and its execution with NumPy and Pillow: images become samples, outputs become answers.

Build and serving use the same code: a model is verified with exactly the preprocessing with which it is served.
"""
