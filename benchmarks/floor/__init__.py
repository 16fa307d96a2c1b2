"""The floor: a bare prototype (store and HTTP, no engine) whose rate is this machine's unit."""
