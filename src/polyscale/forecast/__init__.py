"""From weights to a Forecast at every origin."""
