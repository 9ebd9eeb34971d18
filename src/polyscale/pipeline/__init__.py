"""The whole chain, told as a story."""
