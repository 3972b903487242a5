"""The stores, one module each; `transfer` knows them by name only."""
