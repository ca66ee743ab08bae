"""The interface of TorchServe."""
