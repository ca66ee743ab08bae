"""What the build side and the serving side share: the bundle's format, written and read; see docs/FORMAT.md."""
