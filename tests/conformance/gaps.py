"""What single backends cannot do, each with its reason. A gap that has closed makes its test fail, until it leaves this list.

The key is the backend's name and the test's, parameters included where the gap is of one model only.
"""

from __future__ import annotations

GAPS: dict[tuple[str, str], str] = {}
