"""ncnn: the engine that is always there, on CPUs and on Vulkan."""
