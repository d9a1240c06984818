"""PSNR, SSIM, NIQE, spectral energy: each a function with its source."""
