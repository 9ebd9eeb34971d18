"""What a forecast was worth, beside baselines and with intervals: losses, scorecard, verdict in words."""
