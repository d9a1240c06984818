"""The ncnn engine, which is always installed: CPUs, and GPUs through Vulkan."""
