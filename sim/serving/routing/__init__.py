"""Which replica of a server a request is sent to, one policy per file."""
