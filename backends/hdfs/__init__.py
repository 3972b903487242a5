"""The Hadoop file system."""
