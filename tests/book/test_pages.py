"""The book: the map of the paper, the table of contents, and every built page, read as a file and
in Chromium."""

import functools
import importlib
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

import levlib
from tests.book.test_chapters import OLD_FORM

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "stage" / "_build" / "html"
REMOTE = re.compile(r"^(https?:)?//", re.IGNORECASE)


def toc_pages(toc=None) -> list[str]:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")) if toc is None else toc
    found = [toc[key] for key in ("root", "file") if key in toc]
    return found + [
        page
        for key in ("parts", "chapters", "sections")
        for e in toc.get(key, [])
        for page in toc_pages(e)
    ]


PAGES = toc_pages()
each_page = pytest.mark.parametrize("page", [*PAGES, "search", "genindex"])

# ---- the map of the paper

NUMBERED = [
    *(f"Eq. {k}" for k in range(1, 17)),
    *(f"Definition 3.{k}" for k in (1, 2, 5, 8)),
    *(f"Theorem 3.{k}" for k in (3, 6, 7, 9)),
    *("Remark 3.4", "Remark 4.2", "Lemma 4.1"),
]
STATEMENTS = yaml.safe_load((ROOT / "book" / "map.yml").read_text(encoding="utf-8"))["statements"]
each_statement = pytest.mark.parametrize("entry", STATEMENTS, ids=lambda entry: entry["number"])


def test_every_numbered_statement_of_the_paper_is_on_the_map_once():
    assert sorted(entry["number"] for entry in STATEMENTS) == sorted(NUMBERED)


@each_statement
def test_a_statement_has_a_meaning_a_chapter_functions_and_tests(entry):
    assert len(entry["meaning"]) >= 20 and entry["functions"] and entry["tests"]
    assert entry["chapter"] in PAGES and (ROOT / f"{entry['chapter']}.ipynb").is_file()


@each_statement
def test_what_the_map_names_exists(entry):
    for name in entry["functions"]:
        functools.reduce(getattr, name.split("."), levlib)
    for node in entry["tests"]:
        path, *names = node.split("::")
        source = (ROOT / path).read_text(encoding="utf-8")
        assert all(
            re.search(rf"^\s*(def|class) {re.escape(name.split('[')[0])}\b", source, re.M)
            for name in names
        ), node


def test_the_tests_that_pages_name_exist():
    named = [
        match
        for page in (ROOT / "book").rglob("*.md")
        for match in re.findall(
            r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page.read_text(encoding="utf-8")
        )
    ]
    assert len(named) >= 9
    for path, name in named:
        assert re.search(rf"^def {name}\b", (ROOT / path).read_text(encoding="utf-8"), re.M), (
            path,
            name,
        )


def test_the_api_pages_list_every_public_name_once():
    text = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "book" / "api").glob("*.md")
    )
    listed = re.findall(r"^\.\. (?:autoclass|autofunction|py:data):: (\w+)$", text, re.MULTILINE)
    modules = re.findall(r"^\.\. automodule:: levlib\.([\w.]+)$", text, re.MULTILINE)
    assert sorted(listed) == sorted(name for name in levlib.__all__ if name not in modules)
    assert all(importlib.import_module(f"levlib.{module}").__doc__ for module in modules)


# ---- the built pages, as files


class Page(HTMLParser):
    """The ids, links, resources and text of one page."""

    def __init__(self, path: Path):
        super().__init__()
        self.ids, self.links, self.resources = set(), [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids |= {given[key] for key in ("id", "name") if given.get(key)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") not in ("canonical", "author", "license"):
            self.resources.append(given.get("href", ""))
        elif tag in ("script", "img", "iframe", "source", "video", "audio", "embed", "object"):
            self.resources += [given[key] for key in ("src", "data", "srcset") if given.get(key)]

    handle_startendtag = handle_starttag


def pages_of(html: Path) -> list[Path]:
    """Return every page of the book, those that Sphinx adds (search, index, sources) too."""
    return sorted(path for path in html.rglob("*.html") if "_static" not in path.parts)


@functools.cache
def parsed(path: Path) -> Page:
    return Page(path)


@pytest.fixture(scope="module")
def html() -> Path:
    if not (HTML / "index.html").is_file():
        reason = "no built book in _build/stage/_build/html: run make strict first"
        (pytest.fail if os.environ.get("LEVLIB_REQUIRE_BOOK") else pytest.skip)(reason)
    return HTML


@pytest.mark.book
def test_every_page_of_the_table_of_contents_is_there(html):
    assert [page for page in PAGES if not (html / f"{page}.html").is_file()] == []


@pytest.mark.book
def test_links_inside_the_book_resolve(html):
    broken = []
    for path in pages_of(html):
        for link in parsed(path).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                broken.append((path.name, link))
            elif (
                parts.fragment
                and target.suffix == ".html"
                and unquote(parts.fragment) not in parsed(target).ids
            ):
                broken.append((path.name, link))
    assert broken == []


@pytest.mark.book
def test_no_page_asks_another_host_for_anything(html):
    remote = [
        (path.name, r) for path in pages_of(html) for r in parsed(path).resources if REMOTE.match(r)
    ]
    calls = re.compile(r"(?:url\(|@import\s+)['\"]?((?:https?:)?//[^)'\"]+)")
    styles = [path for path in (html / "_static").rglob("*.css") if "mathjax" not in path.parts]
    remote += [(path.name, url) for path in styles for url in calls.findall(read(path))]
    assert remote == []


@pytest.mark.book
def test_resources_of_the_pages_exist(html):
    for path in pages_of(html):
        for link in parsed(path).resources:
            if not link.startswith(("data:", "#")) and link:
                assert (path.parent / unquote(urlsplit(link).path)).resolve().is_file(), (
                    path.name,
                    link,
                )


@pytest.mark.book
@each_page
def test_the_explorers_script_is_on_the_pages_that_hold_one(html, page):
    text = read(html / f"{page}.html")
    assert bool(re.search(r'<script[^>]*src="[^"]*lev\.js', text)) == (
        'class="lev-explorer' in text
    )


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# ---- the built pages, in Chromium, from disk and with no network


class Visit:
    """One page opened from disk: the page, what it complained of, and what it asked for beyond the
    disk."""

    def __init__(self, browser, path: Path):
        self.context = browser.new_context(
            viewport={"width": 1280, "height": 900}, color_scheme="light", offline=True
        )
        self.page, self.complaints, self.remote = self.context.new_page(), [], []
        self.page.on(
            "console", lambda m: self.complaints.append(m.text) if m.type == "error" else None
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "request",
            lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else self.note(r.url),
        )
        self.page.goto(path.as_uri(), wait_until="load")
        self.page.evaluate("() => window.MathJax?.startup?.promise")

    def note(self, url):
        self.remote.append(url)


@pytest.fixture(scope="module")
def visits(browser, html):
    """Each page is opened once, for all the tests of this module."""
    opened = {}

    def visit(page: str):
        if page not in opened:
            opened[page] = Visit(browser, html / f"{page}.html")
        return opened[page]

    yield visit
    for one in opened.values():
        one.context.close()


@pytest.mark.book
@pytest.mark.browser
@each_page
def test_a_page_complains_of_nothing_and_stays_on_the_disk(visits, page):
    visit = visits(page)
    explorers = visit.page.locator(".lev-explorer").count()
    visit.page.wait_for_function(
        f"document.querySelectorAll('.lev-explorer[data-ready=\"1\"]').length == {explorers}"
    )
    assert visit.complaints == [] and visit.remote == []


@pytest.mark.book
@pytest.mark.browser
@each_page
def test_mathematics_is_typeset(visits, page):
    bare = (
        "[...document.querySelectorAll('.math')]"
        ".filter(e => !e.querySelector('mjx-container')).map(e => e.textContent)"
    )
    assert visits(page).page.evaluate(bare) == []
    text = visits(page).page.evaluate("document.querySelector('main').innerText")
    assert not re.search(r"\\[()\[\]]|\$\$", text)
    assert visits(page).page.locator("mjx-merror").count() == 0


@pytest.mark.book
@pytest.mark.browser
@each_page
def test_a_page_fits_a_phone(visits, page):
    tab = visits(page).page
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.wait_for_timeout(150)
    wide = tab.evaluate("document.documentElement.scrollWidth")
    tab.set_viewport_size({"width": 1280, "height": 900})
    assert wide <= 390


@pytest.mark.book
@pytest.mark.browser
@each_page
def test_a_page_follows_the_reader_into_the_dark(visits, page):
    tab = visits(page).page

    def brightness() -> int:
        colour = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", colour)[:3]))

    light = brightness()
    tab.emulate_media(color_scheme="dark")
    tab.wait_for_function("document.documentElement.dataset.theme == 'dark'", timeout=5000)
    dark = brightness()
    tab.emulate_media(color_scheme="light")
    assert light > 600 and dark < 150


LAYOUT = """() => {
    const code = [...document.querySelectorAll('.cell_input pre, .cell_output pre')];
    return [
        document.querySelector('.lev-explorer').getBoundingClientRect().top + scrollY,
        code.filter(e => e.offsetParent && e.scrollWidth > e.clientWidth + 1).length,
    ];
}"""
NEW_FORM = [
    page for page in PAGES if page.startswith("chapters/") and Path(page).name not in OLD_FORM
]


@pytest.mark.book
@pytest.mark.browser
@pytest.mark.parametrize("page", NEW_FORM)
def test_a_page_shows_its_explorer_within_two_screens_and_cuts_no_code(browser, html, page):
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.goto((html / f"{page}.html").as_uri())
    tab.wait_for_selector(".lev-explorer[data-ready='1']")
    top, cut = tab.evaluate(LAYOUT)
    tab.close()
    assert top <= 2000 and cut == 0


PICTURES = """explorer => [...explorer.querySelectorAll('.lev-panel')].map(panel =>
    [...panel.querySelectorAll('svg')].map(e => e.outerHTML).join('') +
    [...panel.querySelectorAll('canvas')].map(e => e.toDataURL()).join(''))"""


def move(tab, explorer, name: str, key: str) -> None:
    """Press a key on one slider and wait until the redraw that follows is done."""
    slider = explorer.locator(f'input[type=range][data-name="{name}"]')
    before = tab.evaluate("window.__levlib_redraws || 0"), slider.input_value()
    slider.focus()
    slider.press(key)
    if slider.input_value() != before[1]:
        tab.wait_for_function(f"window.__levlib_redraws > {before[0]}", timeout=5000)
        tab.wait_for_timeout(60)


@pytest.mark.book
@pytest.mark.browser
@each_page
def test_each_slider_changes_its_own_explorer_and_no_other(visits, page):
    tab = visits(page).page
    explorers = tab.locator(".lev-explorer").all()
    for explorer in explorers:
        if explorer.locator(".lev-skip").count():
            explorer.locator(".lev-skip").click()
        names = explorer.locator("input[type=range]").evaluate_all(
            "all => all.map(e => e.dataset.name)"
        )
        assert names and explorer.locator(".lev-panel").count()
        for name in names:
            move(tab, explorer, name, "Home")
            before = [one.evaluate(PICTURES) for one in explorers]
            move(tab, explorer, name, "End")
            after = [one.evaluate(PICTURES) for one in explorers]
            own = explorers.index(explorer)
            assert all(before[own]) and before[own] != after[own], f"{name} changes no panel"
            assert before[:own] + before[own + 1 :] == after[:own] + after[own + 1 :]
