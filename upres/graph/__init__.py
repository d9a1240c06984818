"""A network as a small graph of nodes: its cost, its receptive field, and the algebra that makes it faster."""
