"""ONNX Runtime, and the ONNX program that other engines read as well."""
