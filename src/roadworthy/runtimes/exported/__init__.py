"""One file an export target: opens what lies in its directory, in the real thing where that runs here, and answers."""
