"""Bytes of clients to requests: HTTP and gRPC."""
