"""Web servers that take PUT, and WebDAV."""
