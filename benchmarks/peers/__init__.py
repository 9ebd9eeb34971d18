"""Programs that run in the environment of the peers (`make bench` builds it): JSON on stdout."""
