"""How the processes of a cloud speak: calls of bytes over one connection, many at a time."""
