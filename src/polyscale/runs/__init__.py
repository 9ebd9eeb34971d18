"""Run folders: what was trained, from what, and what came out."""
