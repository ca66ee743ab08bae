"""Which models and versions exist, and the commands that change them."""
