"""Race to Choice: which candidate the figures allow to choose, and why, as data and in sentences."""
