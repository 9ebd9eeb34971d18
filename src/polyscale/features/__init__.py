"""Named causal features, one row per closed bar."""
