"""The program around a model: a ``main.cpp`` of ours, the description of the model that it is compiled with, and the compiler.

A target adds one translation unit that defines the functions of ``cpp/model_run.h``.
"""
