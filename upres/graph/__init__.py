"""A network as a small graph of nodes: cost, receptive field, simplification, known architectures."""
