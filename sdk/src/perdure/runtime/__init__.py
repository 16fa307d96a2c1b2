"""The deterministic runtime: one instance per run, driven by history events."""
