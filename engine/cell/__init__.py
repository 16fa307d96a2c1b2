"""A node's part of a cell: the shards it owns, their memory, their commits and their tasks."""
