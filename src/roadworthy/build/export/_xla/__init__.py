"""The parts of the target for XLA ahead of time: the compiler's call, the library that its code needs, and the program around it."""
