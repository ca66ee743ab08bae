"""Export targets: one file a target makes the files for another place than a server."""
