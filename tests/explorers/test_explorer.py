"""Explorers: what is refused at construction, what a sweep proves, and the two lives of one
definition."""

import json
import math
import re

import altair as alt
import numpy as np
import pytest
import torch

import levlib as lv
from levlib.explorers import assets
from levlib.explorers.controls import number
from tests.explorers.test_packing import check_state, within_half_a_level

x = np.linspace(0.0, 1.0, 400)
LINE = alt.Chart(alt.NamedData("curve")).mark_line().encode(x="x:Q", y="y:Q", color="which:N")
DOTS = alt.Chart(alt.NamedData("dots")).mark_point().encode(x="x:Q", y="y:Q")
HEAT = alt.Chart(alt.NamedData("heat")).mark_rect().encode(x="i:O", y="j:O", color="v:Q")
SLIDERS = [
    lv.Slider.log("lam", 1e-4, 1.0, 5, label="ridge"),
    lv.Slider.integers("m", 4, 64, 5, label="features"),
]


def fn(lam, m):
    rng = np.random.default_rng(m)
    return {
        "curve": {
            "x": np.tile(x, 2),
            "y": np.r_[np.sin(6 * x) * lam, x**2],
            "which": ["plain"] * 400 + ["leverage"] * 400,
        },
        "dots": {"x": torch.linspace(0, 1, m), "y": rng.normal(size=m)},
        "heat": {
            "i": np.repeat(range(5), 5),
            "j": np.tile(range(5), 5),
            "v": np.random.default_rng(m).normal(size=25),
        },
        "risk": lam / m,
    }


def explorer(fn=fn, **changes):
    given = {
        "sliders": SLIDERS,
        "panels": [
            lv.Panel(LINE, title="curves", alt="two curves"),
            lv.Panel(DOTS, title="dots"),
            lv.Panel(HEAT, title="heat", renderer="hybrid"),
        ],
        "readout": {"risk": "risk of the fit"},
        "caption": "Curves <and> dots",
        "alt": "curves and dots with two sliders",
    }
    return lv.Explorer(fn, **(given | changes))


def changed(**tables):
    return lambda lam, m: fn(lam, m) | tables


def raising(lam, m):
    if lam == 1.0 and m == 64:
        raise RuntimeError("the solver gave up")
    return fn(lam, m)


CHART = alt.Chart(alt.NamedData("curve")).mark_line()
BAD = [
    (lambda: explorer(raising), r"fn failed at lam=1, m=64: RuntimeError: the solver gave up"),
    (
        lambda: explorer(changed(risk=float("nan"))),
        r"fn failed at lam=0.01, m=16: ValueError: risk.value holds NaN",
    ),
    (lambda: explorer(changed(dots={"x": [1.0, 2.0], "y": [1.0]})), "equally long and not empty"),
    (lambda: explorer(changed(dots={"x": [[1.0]], "y": [[1.0]]})), "dots.x must be 1-D, got shape"),
    (lambda: explorer(changed(dots={"x": [], "y": []})), "equally long and not empty"),
    (lambda: explorer(changed(dots=None)), "fn failed at"),
    (
        lambda: explorer(lambda lam, m: fn(lam, m) | ({"extra": 1.0} if lam == 1.0 else {})),
        "at lam=1, m=4 returned",
    ),
    (lambda: explorer(changed(extra=1.0)), "each must be in both"),
    (lambda: explorer(readout={}), "each must be in both"),
    (lambda: explorer(panels=[]), "at least one panel"),
    (lambda: explorer(sliders=[]), "at least one slider"),
    (lambda: explorer(sliders=[SLIDERS[0], SLIDERS[0]]), "each with its own name"),
    (lambda: explorer(panels=[lv.Panel(CHART.encode(x="x:Q", y="z:Q"))]), "asks for ['z']"),
    (
        lambda: explorer(
            panels=[lv.Panel(alt.Chart(alt.NamedData("no")).mark_point().encode(x="x:Q"))]
        ),
        "asks for ['no",
    ),
    (lambda: explorer(panels=[lv.Panel(LINE | LINE)]), "a panel is one picture"),
    (
        lambda: explorer(
            panels=[lv.Panel(alt.Chart({"values": [{"x": 1}]}).mark_point().encode(x="x:Q"))]
        ),
        "name their",
    ),
    (lambda: explorer().at((0,)), "one entry for each slider"),
    (lambda: explorer().at((0, 9)), "index of m must be in 0..4"),
    (lambda: explorer().still("pdf"), 'kind must be "png" or "svg"'),
    (lambda: lv.Slider("2 m", [1, 2]), "name of an argument"),
    (lambda: lv.Slider("m", [1]), "at least two different finite numbers"),
    (lambda: lv.Slider("m", [1, 1]), "at least two different finite numbers"),
    (lambda: lv.Slider("m", [1, float("inf")]), "at least two different finite numbers"),
    (lambda: lv.Slider("m", [1, 2], start=3), "start of m must be one of its values"),
    (lambda: lv.Slider.log("lam", 0, 1, 3), "0 < low < high"),
    (lambda: lv.Slider.integers("m", 8, 4, 3), "0 < low < high"),
    (lambda: lv.Slider.log("lam", 0.1, 1, 1), "count must be at least 2"),
]


@pytest.mark.parametrize("call, message", BAD, ids=[message for _, message in BAD])
def test_what_cannot_be_drawn_fails_at_construction_and_says_where(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_a_failure_inside_the_grid_stops_the_sweep_and_names_the_sliders():
    one = explorer(
        lambda lam, m: fn(lam, m) | {"risk": float("inf") if lam == 0.1 and m == 8 else 1.0}
    )
    with pytest.raises(
        ValueError, match=re.escape("fn failed at lam=0.1, m=8: ValueError: risk.value holds NaN")
    ):
        one.sweep()


def shaken(size: float):
    """`fn` with noise of its own in a column of "dots", whose entries are about one."""
    rng = np.random.default_rng(0)

    def noisy(lam, m):
        dots = fn(lam, m)["dots"]
        return fn(lam, m) | {"dots": dots | {"y": dots["y"] + size * rng.normal(size=m)}}

    return noisy


def test_a_sweep_bears_what_rounding_makes_of_a_repeat():
    for size in (1e-13, 1e-7):  # as in float64, and as in float32
        one = explorer(shaken(size))
        assert len(one.sweep()) == math.prod(len(slider.values) for slider in one.sliders)


def test_a_column_of_nothing_but_rounding_counts_as_zero():
    rng = np.random.default_rng(0)
    for size in (0.0, 1e-17):
        one = explorer(lambda lam, m, size=size: fn(lam, m) | {"risk": size * rng.normal()})
        assert len(one.sweep()) == math.prod(len(slider.values) for slider in one.sliders)


@pytest.mark.parametrize("size", [1.0, 1e-3, 1e-6])
def test_hidden_randomness_stops_the_sweep_whatever_the_scale_of_its_column(size):
    rng = np.random.default_rng(0)
    one = explorer(lambda lam, m: fn(lam, m) | {"risk": size * (1 + 0.01 * rng.normal())})
    with pytest.raises(
        ValueError, match=r"column value of table risk at .* let fn seed its own generator"
    ):
        one.sweep()


def test_hidden_randomness_in_one_entry_of_one_table_stops_the_sweep():
    with pytest.raises(ValueError, match=r"column y of table dots at .* is not twice the same"):
        explorer(shaken(1e-3)).sweep()


def test_words_and_numbers_of_rows_must_be_the_same_twice():
    calls = []

    def forgetful(word, rows):
        def called(lam, m):
            calls.append(1)
            last = len(calls) % 2
            k = 4 + last * rows
            dots = {"x": np.arange(k), "y": np.arange(k)}
            which = [f"leverage{last * word}"] * 800
            return fn(lam, m) | {"dots": dots, "curve": fn(lam, m)["curve"] | {"which": which}}

        return called

    for which, table in [((1, 0), "column which of table curve"), ((0, 1), "column x of table")]:
        with pytest.raises(ValueError, match=table):
            explorer(forgetful(*which)).sweep()


def test_a_sweep_visits_the_whole_grid_and_eight_states_again():
    calls = []
    one = explorer(lambda lam, m: calls.append((lam, m)) or fn(lam, m))
    calls.clear()
    states = one.sweep()
    grid = [(lam, m) for lam in SLIDERS[0].values for m in SLIDERS[1].values]
    assert calls[:25] == grid and len(calls) == 25 + 8
    assert states[7]["risk"]["value"] == [grid[7][0] / grid[7][1]]


def page_of(one) -> dict:
    script = r'<script type="application/json">(.*?)</script>'
    return json.loads(re.search(script, one.html()).group(1))


def test_a_page_says_which_slider_moves_which_table():
    tables = page_of(explorer())["tables"]
    assert {name: table["on"] for name, table in tables.items()} == {
        "curve": [0],
        "dots": [1],
        "heat": [1],
        "risk": [0, 1],
    }
    assert tables["heat"]["columns"]["i"]["on"] == []


def test_every_state_of_a_page_is_what_fn_returns():
    one = explorer()
    spec = page_of(one)
    for index in np.ndindex(5, 5):
        for name, table in one.at(index).items():
            for column, values in table.items():
                check_state(spec["tables"], spec["packed"], name, column, index, (5, 5), values)


def test_a_static_build_gives_a_page_and_a_kernel_gives_a_widget_and_a_picture(monkeypatch):
    one = explorer()
    monkeypatch.setenv("LEVLIB_STATIC", "1")
    static = one._repr_mimebundle_()
    assert (
        set(static) == {"text/html", "text/plain"} and 'class="lev-explorer"' in static["text/html"]
    )
    assert "Curves &lt;and&gt; dots" in static["text/html"]
    monkeypatch.delenv("LEVLIB_STATIC")
    live = one._repr_mimebundle_()
    assert (
        "application/vnd.jupyter.widget-view+json" in live and live["image/png"][:4] == b"\x89PNG"
    )
    assert live["text/plain"] == "curves and dots with two sliders"


def test_the_widget_answers_what_fn_returns_and_shows_what_fn_raises():
    fails = []
    one = explorer(lambda lam, m: 1 / 0 if fails else fn(lam, m))
    seen = []
    one.widget.observe(lambda change: seen.append(change["new"]), "index")
    one.widget.index = [4, 0]
    assert seen == [[4, 0]] and one.widget.answer["tables"]["risk"] == [{"value": 1.0 / 4}]
    fails.append(True)
    one.widget.index = [0, 0]
    assert one.widget.answer == {
        "index": [0, 0],
        "error": "fn failed at lam=0.0001, m=4: ZeroDivisionError: division by zero",
    }
    one.widget.index = [9, 9]
    assert "index of lam must be in 0..4" in one.widget.answer["error"]


def test_a_still_picture_shows_the_values_of_its_sliders():
    svg = explorer().still("svg", (0, 4))
    assert "λ = 10⁻⁴" in svg and "m = 64" in svg and "currentColor" not in svg


def test_the_script_is_made_once_whole_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assets.bundle.cache_clear()
    made = assets.bundle()
    (kept,) = (tmp_path / "cache" / "levlib").iterdir()
    assert kept.read_text() == made and made.endswith("globalThis.levlib={start,render,number};")
    kept.write_text("kept")
    assets.bundle.cache_clear()
    assert assets.bundle() == "kept"
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assets.bundle.cache_clear()
    assert assets.bundle() == made
    assets.bundle.cache_clear()


def test_assets_are_written_and_left_alone_when_up_to_date(tmp_path):
    assets.write_assets(tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assets.write_assets(tmp_path)
    assert before == {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert set(before) == {"lev.js", "lev.css"}


# ---- in Chromium, from disk, with no network


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "explorer.html"
    explorer().save(path)
    # a strict policy: nothing from another host, and no eval
    policy = (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
    )
    tag = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    path.write_text(path.read_text().replace("<meta", tag + "<meta", 1))
    return path


@pytest.fixture
def tab(browser, saved):
    context = browser.new_context(viewport={"width": 1000, "height": 800}, offline=True)
    page = context.new_page()
    page.complaints = []
    page.on(
        "console",
        lambda message: page.complaints.append(message.text) if message.type != "log" else None,
    )
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on(
        "request",
        lambda r: None if r.url.startswith(("file:", "data:")) else page.complaints.append(r.url),
    )
    page.goto(saved.as_uri())
    page.wait_for_selector('.lev-explorer[data-ready="1"]')
    yield page
    assert page.complaints == []
    context.close()


def pictures(tab) -> list[str]:
    return tab.evaluate(
        """() => [...document.querySelectorAll('.lev-panel')].map(panel =>
        [...panel.querySelectorAll('svg')].map(e => e.outerHTML).join('') +
        [...panel.querySelectorAll('canvas')].map(e => e.toDataURL()).join(''))"""
    )


def settled(tab, index: str) -> None:
    tab.wait_for_function(f"document.querySelector('.lev-explorer').dataset.index === '{index}'")


@pytest.mark.browser
@pytest.mark.parametrize("name, index, moved", [("lam", "4,2", [0]), ("m", "2,4", [1, 2])])
def test_each_slider_moves_the_panels_that_depend_on_it_by_keyboard(tab, name, index, moved):
    before = pictures(tab)
    tab.focus(f'input[data-name="{name}"]')
    tab.keyboard.press("End")
    settled(tab, index)
    after = pictures(tab)
    assert [k for k in range(3) if before[k] != after[k]] == moved
    tab.click(".lev-reset")
    settled(tab, "2,2")
    assert tab.input_value(f'input[data-name="{name}"]') == "2"
    shown, first = (
        tab.evaluate(
            "(() => "
            f"{{ const it = document.querySelector('.lev-explorer').levlib; return {what} }})()"
        )
        for what in (
            "it.views[0].data('curve').map(row => row.y)",
            "it.source.at([2, 2]).curve.map(row => row.y)",
        )
    )
    assert shown == first


@pytest.mark.browser
@pytest.mark.parametrize("name, moved", [("lam", [0]), ("m", [1, 2])])
def test_each_slider_moves_the_panels_that_depend_on_it_by_pointer(tab, name, moved):
    before = pictures(tab)
    box = tab.locator(f'input[data-name="{name}"]').bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2, steps=4)
    tab.mouse.up()
    settled(tab, "4,2" if name == "lam" else "2,4")
    after = pictures(tab)
    assert [k for k in range(3) if before[k] != after[k]] == moved


@pytest.mark.browser
def test_keys_step_as_they_do_on_any_slider(tab):
    tab.focus('input[data-name="lam"]')
    for key, position in {
        "Home": 0,
        "ArrowRight": 1,
        "ArrowUp": 2,
        "ArrowLeft": 1,
        "PageUp": 3,
        "PageDown": 1,
        "End": 4,
    }.items():
        tab.keyboard.press(key)
        assert tab.input_value('input[data-name="lam"]') == str(position), key
    settled(tab, "4,2")


@pytest.mark.browser
def test_a_slider_says_its_name_and_its_value(tab):
    slider = tab.get_by_label("ridge")
    assert slider.get_attribute("data-name") == "lam"
    assert slider.get_attribute("aria-valuetext") == "ridge 0.01"
    assert tab.locator(".lev-slider output").first.inner_text() == "λ = 0.01"
    assert tab.locator(".lev-panel").first.get_attribute("aria-label") == "two curves"
    assert tab.locator(".lev-readout").inner_text().split("\n") == [
        "risk of the fit",
        number(0.01 / 16),
    ]


@pytest.mark.browser
def test_random_states_of_the_page_are_what_fn_returns(tab):
    rng, one = np.random.default_rng(0), explorer()
    spec = tab.evaluate("document.querySelector('.lev-explorer').levlib.spec")
    for _ in range(10):
        index = rng.integers(0, 5, 2).tolist()
        shown = tab.evaluate(
            "index => document.querySelector('.lev-explorer').levlib.source.at(index)", index
        )
        for name, table in one.at(index).items():
            for column, values in table.items():
                back = np.array([row[column] for row in shown[name]])
                assert within_half_a_level(spec["tables"][name]["columns"][column], values, back)


@pytest.mark.browser
def test_script_and_python_write_numbers_alike(tab):
    values = [1024, 0.05, 1e-5, 0.00032, 0.0166, 3914.2, 123456.0, 7.5e8, 0.1 + 0.2, 1e-3]
    shown = tab.evaluate("values => values.map(globalThis.levlib.number)", values)
    assert shown == [number(value) for value in values]


@pytest.mark.browser
def test_an_explorer_fits_a_phone_and_follows_the_width(tab):
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.wait_for_timeout(300)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert (
        max(
            tab.evaluate(
                "[...document.querySelectorAll('.lev-view svg')].map(e => "
                "e.getBoundingClientRect().width)"
            )
        )
        <= 374
    )


@pytest.mark.browser
def test_paper_gets_values_without_sliders(tab):
    tab.emulate_media(media="print")
    assert (
        not tab.locator('input[data-name="lam"]').is_visible()
        and not tab.locator(".lev-reset").is_visible()
    )
    assert tab.locator(".lev-slider output").first.is_visible()


@pytest.mark.browser
def test_without_a_script_the_still_picture_stays(browser, saved):
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(saved.as_uri())
    assert page.locator("img.lev-still").bounding_box()["height"] > 150
    assert page.get_by_alt_text("curves and dots with two sliders").count() == 1
    context.close()


# ---- a question


QUESTION = lv.Question("Which risk is lower?", ["plain", "leverage", "neither <b>"])


@pytest.fixture
def asked(browser, tmp_path):
    explorer(question=QUESTION).save(tmp_path / "asked.html")
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto((tmp_path / "asked.html").as_uri())
    page.wait_for_selector('.lev-explorer[data-ready="1"]')
    yield page
    context.close()


def sliders_wait(tab) -> bool:
    return all(
        tab.locator(".lev-controls input, .lev-controls button").evaluate_all(
            "all => all.map(e => e.disabled)"
        )
    )


@pytest.mark.parametrize(
    ("text", "choices"),
    [("", ["a", "b"]), (" ", ["a", "b"]), ("Why?", ["a"]), ("Why?", ["a", "a"]), ("Why?", "ab")],
)
def test_a_question_needs_a_text_and_two_choices(text, choices):
    with pytest.raises(ValueError, match=r"question|choices"):
        lv.Question(text, choices)


def test_an_explorer_without_a_question_says_so():
    assert explorer().spec()["question"] is None
    assert explorer(question=QUESTION).spec()["question"] == QUESTION.spec()


@pytest.mark.browser
def test_sliders_wait_for_a_guess_by_keyboard(asked):
    assert sliders_wait(asked)
    assert asked.locator(".lev-question legend").inner_text() == "Which risk is lower?"
    assert asked.locator(".lev-choice").nth(2).inner_text() == "neither <b>"
    assert asked.locator(".lev-commit").is_disabled()
    asked.locator(".lev-choice input").first.focus()
    asked.keyboard.press("ArrowDown")
    asked.keyboard.press("Enter")
    assert asked.locator('.lev-question [role="status"]').inner_text() == "Your guess: leverage"
    assert not sliders_wait(asked)
    assert asked.evaluate("document.activeElement.dataset.name") == "lam"
    asked.keyboard.press("End")
    settled(asked, "4,2")
    asked.locator(".lev-reset").click()
    settled(asked, "2,2")
    assert not sliders_wait(asked), "reset does not ask again"


@pytest.mark.browser
def test_a_question_can_be_skipped_and_prints_without_buttons(asked):
    asked.locator(".lev-skip").click()
    assert not sliders_wait(asked)
    asked.emulate_media(media="print")
    assert asked.locator(".lev-question legend").is_visible()
    assert not asked.locator(".lev-question button").first.is_visible()
