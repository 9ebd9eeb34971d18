"""Speed and memory, measured: ``python -m benchmarks NAME`` prints a table and ends with one line of JSON."""
