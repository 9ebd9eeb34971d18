"""The walk-forward: folds, tasks, where they run, what is kept, what it came to."""
