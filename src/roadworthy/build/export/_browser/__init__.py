"""The parts of the browser target: its flavours, their packages of npm, and the page's own files."""
