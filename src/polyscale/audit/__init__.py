"""Whether any row know its future, and by how much."""
