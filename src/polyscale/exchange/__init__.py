"""Whatever lies outside, turned into bars: files today, the exchange next."""
