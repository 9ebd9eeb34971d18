"""One self-contained HTML page that tells a walk-forward."""
