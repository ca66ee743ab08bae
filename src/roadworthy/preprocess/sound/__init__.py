"""Sounds: what a wav file holds, its rate, and the steps to the samples that a model takes."""
