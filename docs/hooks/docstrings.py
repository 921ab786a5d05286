"""griffe: sections of this project's docstrings under the names that griffe knows."""

import re
from typing import Any

import griffe

SECTIONS = {
    "Call arguments": "Other Parameters: Call arguments",
    "Example": "Examples: Example",
}


class Sections(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            for name, known in SECTIONS.items():
                obj.docstring.value = re.sub(rf"^{name}:$", f"{known}", obj.docstring.value, flags=re.MULTILINE)
