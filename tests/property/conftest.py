"""One profile for all properties: the same number of examples, no limit on their time."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("project", max_examples=200, deadline=None, print_blob=True)
settings.load_profile("project")
