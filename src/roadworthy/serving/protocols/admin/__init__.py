"""The server's own management over HTTP."""
