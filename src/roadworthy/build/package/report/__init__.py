"""The report of a deployment and of a comparison, as one HTML file each."""
