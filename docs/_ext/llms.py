"""Writes llms.txt (a map of the site) and llms-full.txt (all of it as plain text).

The form is that of the llms.txt proposal: a heading, a summary, and lists of links, each with
a sentence.
"""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.builders.text import TextBuilder

# Pages that Sphinx makes more of than what stands in them; of all others the Markdown is best.
_CONTENTS = re.compile(r"^```\{toctree\}\n.*?^```\n", re.MULTILINE | re.DOTALL)
_MARKUP = re.compile(r"^```\{(eval-rst|include|literalinclude)\}", re.MULTILINE)


def write(app: Sphinx, problem: Exception | None) -> None:
    """Write both files beside the pages."""
    if problem is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    (out / "llms.txt").write_text(_map(app), "utf-8")
    (out / "llms-full.txt").write_text(_everything(app), "utf-8")


def _pages(app: Sphinx) -> dict[str, list[str]]:
    """Give the pages of each section, in the order of the front page's tables of contents."""
    front = app.env.get_doctree(app.config.root_doc)
    return {
        str(tree.get("caption") or "Start"): [str(page) for _, page in tree["entries"]]
        for tree in front.findall(addnodes.toctree)
    }


def _first_sentence(app: Sphinx, page: str) -> str:
    paragraph = next(app.env.get_doctree(page).findall(nodes.paragraph), None)
    return "" if paragraph is None else " ".join(paragraph.astext().split())


def _map(app: Sphinx) -> str:
    lines = [f"# {app.config.project} {app.config.release}", ""]
    lines += [f"> {_first_sentence(app, app.config.root_doc)}", ""]
    for section, pages in _pages(app).items():
        lines += [f"## {section}", ""]
        for page in pages:
            title = app.env.titles[page].astext()
            lines.append(f"- [{title}]({page}.html): {_first_sentence(app, page)}")
        lines.append("")
    return "\n".join(lines)


def _everything(app: Sphinx) -> str:
    builder = TextBuilder(app, app.env)
    builder.init()
    pages = [app.config.root_doc, *(page for group in _pages(app).values() for page in group)]
    builder.prepare_writing(set(pages))
    texts = []
    for page in pages:
        source = Path(app.env.doc2path(page)).read_text("utf-8")
        if not _MARKUP.search(source):
            texts.append(_CONTENTS.sub("", source).rstrip())
            continue
        builder.current_docname = page
        tree = app.env.get_and_resolve_doctree(page, builder)
        visitor = builder.create_translator(tree, builder)
        tree.walkabout(visitor)
        texts.append(visitor.body)
    return "\n\n\n".join(texts)


def setup(app: Sphinx) -> dict[str, bool]:
    """Write when all pages are."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
