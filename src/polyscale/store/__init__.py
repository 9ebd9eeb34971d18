"""The bars and funding rates that we hold, on Delta Lake."""
