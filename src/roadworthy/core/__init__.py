"""The types that every package shares; nothing here depends on a framework, a runtime or a transport."""
