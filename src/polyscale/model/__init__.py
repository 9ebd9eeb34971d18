"""The network: one encoder per scale, attention across scales, fusion, heads."""
