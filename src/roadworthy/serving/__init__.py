"""Bundle to answers: the engine that knows no transport, the protocols, the transports, and the worker processes."""
