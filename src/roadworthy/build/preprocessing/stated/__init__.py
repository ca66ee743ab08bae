"""What model files state about images and labels, read as data from files that are not trusted; the forms make steps of it."""
