"""The base forecast: a rolling log-HAR of realised variance, online and causal."""
