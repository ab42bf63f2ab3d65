"""What the site's pages show in code: found, and run.

python    runs from the top of a page to its end, with one set of names, as a reader would type
          it. `pay` is a SessionManager and `sandbox` its provider; `await` stands where it is
          needed. A block of tests runs under pytest, with the plugin's fixtures. One that begins
          with the comment `# name.py` is saved under that name, for the commands below it.
console   each line that begins with `$` is run; what stands below it is in what it prints.
text      directly below one of the two: what that prints.
sh        is read by the shell, not run: it talks to the real provider, or does not end.
json, toml, yaml    can be read as what they say they are.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Final

from attrs import frozen

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
PAGES: Final = sorted(
    page for page in DOCS.rglob("*.md") if not any(part.startswith("_") for part in page.parts)
)
LANGUAGES: Final = {"python", "console", "text", "sh", "json", "toml", "yaml", "js", "php"}
"""Those of other languages are run by the tests of their own room, where node or php is there."""
_BLOCK: Final = re.compile(
    r"^(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


@frozen
class Block:
    """A block of code."""

    language: str
    code: str
    line: int
    """Where its first line stands in the page, counted from 1."""
    follows: bool
    """Whether nothing stands between it and the block before it."""

    @property
    def file(self) -> str | None:
        """The name under which a reader saves it."""
        name = re.match(r"# (\w+\.py)\n", self.code)
        return name[1] if name and self.language == "python" else None

    @property
    def is_tests(self) -> bool:
        """Whether pytest is to run it."""
        if self.file:
            return False
        return self.language == "python" and bool(
            re.search(
                r"^(async )?def test_\w+\(.+\)|^class \w+\(.*TestCase\)", self.code, re.MULTILINE
            )
        )


def blocks(page: Path) -> list[Block]:
    """Find the blocks of a page."""
    text = page.read_text("utf-8")
    found: list[Block] = []
    end = 0
    for match in _BLOCK.finditer(text):
        follows = bool(found) and not text[end : match.start()].strip()
        end = match.end()
        if not match["language"].startswith("{"):  # the site's own markup
            line = text.count("\n", 0, match.start()) + 2
            code = textwrap.dedent(match["code"])
            found.append(Block(match["language"], code, line, follows=follows))
    return found
