"""The whole cell under a seeded event loop with simulated time, network and disk."""
