"""The layers of ncnn that its static library is built with: those that the converter writes for networks of images and tables."""

from __future__ import annotations

KEPT = frozenset({
    "AbsVal", "ArgMax", "BatchNorm", "Bias", "BinaryOp", "CELU", "Clip", "Concat", "Convolution", "Convolution1D", "ConvolutionDepthWise",
    "ConvolutionDepthWise1D", "Crop", "Deconvolution", "DeconvolutionDepthWise", "Dropout", "Eltwise", "ELU", "Erf", "Exp", "ExpandDims",
    "Flatten", "GELU", "Gemm", "GroupNorm", "HardSigmoid", "HardSwish", "InnerProduct", "Input", "InstanceNorm", "Interp", "LayerNorm",
    "Log", "LRN", "MatMul", "MemoryData", "Mish", "MultiHeadAttention", "Noop", "Normalize", "Packing", "Padding", "Permute",
    "PixelShuffle", "Pooling", "Pooling1D", "Power", "PReLU", "Reduction", "ReLU", "Reshape", "RMSNorm", "Scale", "SDPA", "SELU",
    "ShuffleChannel", "Sigmoid", "Slice", "Softmax", "Softplus", "Split", "Squeeze", "Swish", "TanH", "Tile", "UnaryOp",
})  # fmt: skip
# Two that other layers of the library use.
HELPERS = frozenset({"Cast", "DeepCopy"})
