"""TFLite files as sources."""
