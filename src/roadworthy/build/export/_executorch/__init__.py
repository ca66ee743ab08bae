"""The parts of the ExecuTorch target: the exported program lowered to XNNPACK, and the program around ExecuTorch's own runtime."""
