"""The nouns every room shares; nothing here knows a framework, a runtime or a transport."""
