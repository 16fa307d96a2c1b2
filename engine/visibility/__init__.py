"""Finding executions: rows written with the run, and the query language over them."""
