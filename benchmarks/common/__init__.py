"""What several benchmarks share: timing, memory, inputs, the machine, files of results."""
