"""Smaller PyTorch models: channels are cut where every reader of theirs is a layer that can be cut as well.

``channels`` finds the blocks, ``importance`` chooses, ``surgery`` cuts, ``proof`` compares; ``teaching`` lets the original teach what is
left, or the user's own ``student``; ``architecture`` writes the result for users.
"""

from roadworthy.build.compress.torch.architecture import write
from roadworthy.build.compress.torch.cutting import blocks, cut
from roadworthy.build.compress.torch.student import student
from roadworthy.build.compress.torch.teaching import teach

__all__ = ["blocks", "cut", "student", "teach", "write"]
