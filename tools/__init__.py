"""Tools around the package: benchmarks and the training of the bundled checkpoint."""
