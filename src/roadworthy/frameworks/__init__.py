"""Code that several runtimes and several packages of the build side share for one framework."""
