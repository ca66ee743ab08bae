"""What a person sees in a terminal: progress while a command runs, and its result as tables or as JSON."""
