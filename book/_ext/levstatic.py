"""What the book needs beyond its themes: explorers without a kernel, no remote reference, and the
map of the paper."""

import os
import re
from pathlib import Path

import reading
import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from levlib.explorers import assets

# a notebook that a plain `jupyter-book build` executes inherits these: explorers emit static pages,
# bars stay silent
os.environ.setdefault("LEVLIB_STATIC", "1")
os.environ.setdefault("TQDM_DISABLE", "1")


def add_explorer_assets(app, config):
    """Write lev.js and lev.css (Vega and our glue, from installed wheels) where Sphinx copies
    static files from."""
    folder = Path(app.doctreedir).parent / "levlib_assets"
    folder.mkdir(parents=True, exist_ok=True)
    assets.write_assets(folder)
    config.html_static_path.append(str(folder))


def finish_page(app, pagename, templatename, context, doctree):
    """Load the explorers' script only where a page holds one, and drop every script that would call
    another host."""
    if "lev-explorer" in context.get("body", ""):
        app.add_js_file("lev.js", defer="defer")
        app.add_css_file("lev.css")
    remote = re.compile(r"thebe|^https?:", re.IGNORECASE)
    context["script_files"] = [
        script
        for script in context.get("script_files", [])
        if not remote.search(f"{getattr(script, 'filename', script) or ''}")
        and "THEBE" not in (getattr(script, "attributes", {}).get("body") or "")
    ]


def escape_docstring(app, what, name, obj, options, lines):
    """Let docstrings stay plain text: outside code and doctests, |x| and * are mathematics, and
    `name` is code."""
    for number, line in enumerate(lines):
        if line.lstrip().startswith((">>>", "...")):
            return
        pieces = re.split(r"(`[^`]*`)", line)
        lines[number] = "".join(
            f"`{piece}`" if piece.startswith("`") else re.sub(r"([|*\\])", r"\\\1", piece)
            for piece in pieces
        )


def map_entries(path: Path) -> list[dict]:
    """Return the entries of book/map.yml."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))["statements"]


def map_row(entry: dict) -> str:
    """Return one row of the map as a Markdown table row."""
    chapter = f"[](/{entry['chapter']})"
    functions = "<br>".join(f"{{py:obj}}`~levlib.{name}`" for name in entry["functions"])
    tests = "<br>".join(f"`{name}`" for name in entry["tests"])
    return f"| {entry['number']} | {entry['meaning']} | {chapter} | {functions} | {tests} |"


class PaperMap(SphinxDirective):
    """`{paper-map}` sets book/map.yml as one table for each section of the paper."""

    def run(self) -> list[nodes.Node]:
        source = Path(self.env.srcdir) / "book" / "map.yml"
        self.env.note_dependency(str(source))
        rows = ["| Statement | In one line | Chapter | levlib | Test |", "|:--|:--|:--|:--|:--|"]
        rows += [map_row(entry) for entry in map_entries(source)]
        box = nodes.container(classes=["paper-map"])
        self.state.nested_parse(StringList(rows, str(source)), self.content_offset, box)
        return [box]


class ReadingPaths(SphinxDirective):
    """`{reading-paths}` lists paths through the book, each with the minutes of its pages added up.

    A line is `name | page, page | what to do there`.
    """

    has_content = True

    def run(self) -> list[nodes.Node]:
        lines = []
        for line in self.content:
            name, pages, note = (part.strip() for part in line.split("|"))
            listed = [page.strip() for page in pages.split(",")]
            total = sum(self._minutes(page) for page in listed)
            links = ", ".join(f"{{doc}}`/{page}`" for page in listed)
            lines += [f"- **{name}**, {total} minutes of reading: {links}. {note}", ""]
        box = nodes.container()
        self.state.nested_parse(StringList(lines, self.env.docname), self.content_offset, box)
        return [box]

    def _minutes(self, page: str) -> int:
        path = Path(self.env.srcdir) / f"{page}.ipynb"
        self.env.note_dependency(str(path))
        return reading.minutes(reading.read(path))


def setup(app):
    app.connect("config-inited", add_explorer_assets)
    app.connect("html-page-context", finish_page, priority=900)
    app.connect("autodoc-process-docstring", escape_docstring, priority=400)
    app.add_directive("paper-map", PaperMap)
    app.add_directive("reading-paths", ReadingPaths)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
