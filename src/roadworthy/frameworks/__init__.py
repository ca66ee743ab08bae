"""What several runtimes and several rooms of the build side share of one framework."""
