"""The script and styles of the explorers: Vega from the vl-convert wheel and our glue; no Node, no
network."""

import hashlib
import os
from functools import cache
from importlib.metadata import version
from pathlib import Path

import vl_convert

from levlib.files import write

HERE = Path(__file__).parent
# the bundle speaks in classic-script globals; a function keeps them out of the page
WRAPPED = "(()=>{{{bundle}\n}})();"
LICENCE = (
    "/* Vega 6, vega-* (BSD-3-Clause), d3 (ISC) and others, bundled by vl-convert: see "
    "THIRD_PARTY.md */\n"
)


def css() -> str:
    """Return the style sheet of the explorers."""
    return (HERE / "lev.css").read_text(encoding="utf-8")


@cache
def bundle() -> str:
    """Return Vega and `lev.js` as one script, made once and kept in the user's cache folder.

    Cost: a second for the first call after an installation, then one read of 0.6 MB. Where the
    cache cannot be written, the script is made for each process.
    """
    glue = (HERE / "lev.js").read_text(encoding="utf-8")
    key = hashlib.sha256(
        "\0".join([version("vl-convert-python"), vl_convert.get_vega_version(), glue]).encode()
    ).hexdigest()
    cached = _cache_folder() / f"lev-{key[:16]}.js"
    try:
        return cached.read_text(encoding="utf-8")
    except OSError:
        script = LICENCE + vl_convert.javascript_bundle(snippet=glue)
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        write(cached, script)
    except OSError:
        pass  # a read-only home: the script is made again next time
    return script


def classic_script() -> str:
    """Return the script for a page: it brings every `.lev-explorer` on it to life."""
    return WRAPPED.format(bundle=bundle() + "\nglobalThis.levlib.start();")


def module_script() -> str:
    """Return the same code as an ES module with the `render` that anywidget calls."""
    return bundle() + "\nexport default {render: globalThis.levlib.render};"


def write_assets(folder: Path) -> None:
    """Write `lev.js` and `lev.css` into a folder, for a page that loads them; files that are up to
    date are left."""
    for name, text in (("lev.js", classic_script()), ("lev.css", css())):
        path = Path(folder) / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write(path, text)


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "levlib"
