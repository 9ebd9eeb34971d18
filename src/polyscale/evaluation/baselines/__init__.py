"""What the network has to beat: other forecasts of the same labels on the same rows."""
