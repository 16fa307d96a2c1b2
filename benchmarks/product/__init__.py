"""The product under load: its server as a process, driven over its public HTTP wire."""
