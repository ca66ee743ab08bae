"""Keras models made smaller and taught: functional and Sequential ones, of Keras 3 and of tf-keras."""

from roadworthy.build.compress.tensorflow.architecture import write
from roadworthy.build.compress.tensorflow.finding import blocks
from roadworthy.build.compress.tensorflow.student import student
from roadworthy.build.compress.tensorflow.surgery import cut
from roadworthy.build.compress.tensorflow.teaching import teach

__all__ = ["blocks", "cut", "student", "teach", "write"]
