"""What must not be published: credentials, and traces of somebody's machine."""
