"""The byte path: HTTP exchanges between sources, sinks and servers."""
