"""Experts for the controller: a published policy as an ONNX model with documented inputs and outputs."""
