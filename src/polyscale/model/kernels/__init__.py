"""Attention as compiled loops for the CPU: the numbers of the torch formulas beside them, and gradients."""
