"""The bridge between the build side and the serve side: the bundle's format, written and read; see docs/FORMAT.md."""
