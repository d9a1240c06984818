"""The ONNX Runtime engine, and conversion of graphs to ONNX, which the OpenVINO engine uses too."""
