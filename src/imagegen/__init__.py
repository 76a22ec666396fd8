"""Image generation, whole and readable: VAEs, diffusion and text to image in Keras 3."""
