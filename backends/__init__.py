"""The stores, a package or a module each, and what several share; `transfer` knows names only."""
