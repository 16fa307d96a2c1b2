"""One file for each page: what it reads, what its forms do."""
