"""Code and files that are not trusted: child processes with limits, and directories that they cannot change."""
