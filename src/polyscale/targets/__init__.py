"""What is to be forecast, per horizon, with the time at which it is known."""
