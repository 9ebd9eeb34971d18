"""From a forecast to target positions."""
