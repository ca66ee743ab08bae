"""The contract carried out on NumPy and Pillow: images become samples, outputs become answers, folders become data.

One code for every room: what was verified is preprocessed exactly as what is served.
"""
