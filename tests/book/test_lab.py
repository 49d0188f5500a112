"""One explorer in a real JupyterLab: run the notebook, move a slider, see the panel change through
the kernel."""

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest

from tests.explorers.test_explorer import pictures, settled

ROOT = Path(__file__).resolve().parents[2]
CELL = """
import altair as alt
import levlib as lv

chart = alt.Chart(alt.NamedData("curve")).mark_line().encode(x="x:Q", y="y:Q")


def fn(lam, m):
    if lam == 1.0 and m == 64:
        raise RuntimeError("the solver gave up")
    return {"curve": {"x": [0.0, 1.0], "y": [0.0, lam]}, "risk": lam / m}


sliders = [
    lv.Slider.log("lam", 1e-4, 1.0, 5, label="ridge"),
    lv.Slider("m", [4, 8, 32, 64, 16], label="features"),
]
panels, words = [lv.Panel(chart)], {"caption": "A line", "alt": "a line"}
explorer = lv.Explorer(fn, sliders, panels, readout={"risk": "risk"}, **words)
explorer
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A server on a folder with one notebook; its address with the token."""
    folder = tmp_path_factory.mktemp("lab")
    cells = [
        nbformat.v4.new_code_cell(CELL.strip()),
        nbformat.v4.new_code_cell("explorer.widget.index = [3, 1]"),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "explorer.ipynb"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    options = [
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        f"--IdentityProvider.token={token}",
    ]
    quiet = [
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    environment = {key: value for key, value in os.environ.items() if key != "LEVLIB_STATIC"}
    environment |= {"HOME": str(folder), "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        *options,
        *quiet,
        f"--ServerApp.root_dir={folder}",
    ]
    with open(folder / "lab.log", "w") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=folder
        )
        try:
            base = f"http://127.0.0.1:{port}"
            wait_for_server(f"{base}/api?token={token}", server, folder / "lab.log")
            yield f"{base}/lab/tree/explorer.ipynb?reset&token={token}"
        finally:
            server.terminate()
            server.wait(timeout=20)


def wait_for_server(address: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(240):
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=2) as answer:
                assert json.load(answer)["version"]
                return
        except urllib.error.URLError:
            time.sleep(0.25)
    pytest.fail(log.read_text())


@pytest.mark.browser
def test_in_jupyterlab_a_slider_calls_the_kernel_and_the_panel_follows(browser, lab):
    context = browser.new_context(viewport={"width": 1200, "height": 1000})
    tab = context.new_page()
    tab.goto(lab)
    tab.locator(".jp-NotebookPanel .jp-Cell").first.wait_for(timeout=60_000)
    tab.locator("#jp-main-statusbar", has_text=re.compile(r"Idle")).wait_for(timeout=60_000)
    tab.locator(".jp-CodeCell .cm-content").first.click()
    tab.keyboard.press("Shift+Enter")
    tab.wait_for_selector('.lev-explorer[data-ready="1"]', timeout=60_000)
    before = pictures(tab)
    assert before[0]

    tab.focus('input[data-name="lam"]')
    tab.keyboard.press("End")
    settled(tab, "4,2")
    by_key = pictures(tab)
    assert by_key != before
    assert tab.locator(".lev-value").inner_text() == "0.0313"  # fn of the kernel at lam = 1, m = 32

    box = tab.locator('input[data-name="m"]').bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 3, box["y"] + box["height"] / 2, steps=4)
    tab.mouse.up()
    settled(tab, "4,0")
    assert tab.locator(".lev-value").inner_text() == "0.25"

    tab.focus('input[data-name="m"]')
    for _ in range(3):
        tab.keyboard.press("ArrowRight")
    settled(tab, "4,3")
    assert "the solver gave up" in tab.locator(".lev-error").inner_text()
    tab.keyboard.press("Home")
    settled(tab, "4,0")
    assert tab.locator(".lev-error").is_hidden()

    tab.locator(".jp-CodeCell .cm-content").nth(1).click()
    tab.keyboard.press("Shift+Enter")  # the kernel moves the sliders, too
    settled(tab, "3,1")
    assert tab.input_value('input[data-name="lam"]') == "3"
    context.close()
