"""From target positions to fills, costs and an exact ledger."""
