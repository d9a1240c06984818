"""Networks as torch modules: generators and discriminators."""
