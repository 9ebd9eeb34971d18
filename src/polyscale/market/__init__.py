"""The words everyone shares: timeframe, bars, errors, forecast, position, the simulated market."""
