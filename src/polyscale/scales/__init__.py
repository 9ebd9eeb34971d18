"""A market at several time scales: grid, resample, align."""
