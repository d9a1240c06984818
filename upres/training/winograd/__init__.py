"""Winograd convolutions for training on CPUs, by a kernel that is compiled once per machine."""
