"""The protocols: each turns requests of its own form into inferences and their answers, and knows the dataplane but no socket."""
