"""Convolutions with fewer products on a CPU, by a kernel that is compiled once."""
