"""What a run shows and notices: validation, TensorBoard, curves, contact sheets, runs that go wrong."""
