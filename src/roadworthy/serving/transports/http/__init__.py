"""HTTP/1.1: reader, connection, application, TLS, rights."""
