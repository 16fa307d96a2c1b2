"""What runs as a process: the whole cloud, its cell, all but the cell, and who watches these."""
