"""Where a cell's rows are kept. `protocols` says what a store promises."""
