"""A bundle opened in one process: queue, batches, instances, answers."""
