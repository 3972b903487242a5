"""Processes that carry small files: Python's lock lets one thread of a process work at a time."""
