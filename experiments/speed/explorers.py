"""How fast explorers redraw in Chromium: 30 moves on each explorer of each built page, opened from
disk.

Run `make book SERVE=0` first. A move sets a slider, and ends when the panels that depend on it are
drawn.
"""

import re
import shutil
import statistics
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from experiments.record import write_result

HTML = Path(__file__).resolve().parents[2] / "_build" / "stage" / "_build" / "html"
MOVES = 30
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
]
TIME = """async ([explorer, moves]) => {
  const root = document.querySelectorAll('.lev-explorer')[explorer];
  root.querySelector('.lev-skip')?.click();
  const inputs = [...root.querySelectorAll('input[type=range]')];
  const taken = [];
  for (let k = 0; k < moves; k++) {
    const input = inputs[k % inputs.length], before = window.__levlib_redraws || 0;
    input.value = (+input.value + 1 + k) % (+input.max + 1);
    const start = performance.now();
    input.dispatchEvent(new Event('input', {bubbles: true}));
    while ((window.__levlib_redraws || 0) === before) {
      await new Promise(done => setTimeout(done, 0));
    }
    taken.push(performance.now() - start);
    await new Promise(done => setTimeout(done, 50));
  }
  return taken;
}"""


def explorers(tab, page: Path) -> list[dict]:
    """Return a row for each explorer of a page: size of its packed states, median and 95th
    percentile of a redraw."""
    packed = [
        len(text)
        for text in re.findall(r'"packed":\s*"([A-Za-z0-9+/=]*)"', page.read_text(encoding="utf-8"))
    ]
    tab.goto(page.as_uri())
    tab.wait_for_function(
        f"document.querySelectorAll('.lev-explorer[data-ready=\"1\"]').length === {len(packed)}"
    )
    rows = []
    for number, size in enumerate(packed):
        taken = sorted(tab.evaluate(TIME, [number, MOVES]))
        rows.append(
            {
                "page": page.relative_to(HTML).with_suffix("").as_posix(),
                "explorer": number + 1,
                "packed_kb": round(size / 1024, 1),
                "median_ms": round(statistics.median(taken), 1),
                "p95_ms": round(taken[int(0.95 * MOVES)], 1),
            }
        )
    return rows


def main() -> None:
    chromium = shutil.which("chromium")
    pages = [
        page
        for page in sorted(HTML.rglob("*.html"))
        if 'class="lev-explorer' in page.read_text(encoding="utf-8")
    ]
    if chromium is None or not pages:
        sys.exit(
            "skipped: this needs Chromium (apt-get install chromium) and a built book (make book "
            "SERVE=0)"
        )
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=FLAGS)
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        rows = [row for page in pages for row in explorers(tab, page)]
        browser.close()
    print(
        f"{'page':42} {'explorer':>8} {'packed KB':>10} {'median ms':>10} {'p95 ms':>8}   "
        "(limits: 400 KB, p95 33 ms)"
    )
    for row in rows:
        print(
            "{page:42} {explorer:8d} {packed_kb:10.1f} {median_ms:10.1f} {p95_ms:8.1f}".format(
                **row
            )
        )
    print(f"-> {write_result('speed_explorers', rows)}")


if __name__ == "__main__":
    main()
