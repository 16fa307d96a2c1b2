"""Benchmarks: the product beside the machine's own floor. See benchmarks/README.md."""
