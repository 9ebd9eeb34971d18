"""From frames to arrays: splits, frozen scalers, stretches."""
