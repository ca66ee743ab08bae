"""The parts of the browser's session: the program Chromium, a site on loopback, and the page that is driven."""
