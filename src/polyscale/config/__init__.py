"""The config of a whole run, out of the configs of its stages."""
