"""What happened to each run, and what must happen next."""
