"""Class names: the files that hold them, and the spellings of one name."""
