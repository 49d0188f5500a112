"""An explorer in a kernel: an anywidget whose sliders call `fn`."""

import logging

import anywidget
import traitlets

from levlib.explorers import assets
from levlib.explorers.controls import as_rows


class ExplorerWidget(anywidget.AnyWidget):
    """The live form of an explorer; `index` is the position of its sliders, synced both ways, and
    `guess` the choice of a reader who answered its question, -1 of one who skipped it.

    >>> import levlib as lv                           # doctest: +SKIP
    >>> explorer.widget.observe(print, "index")       # doctest: +SKIP
    """

    _esm = assets.module_script()
    _css = assets.css()
    spec = traitlets.Dict().tag(sync=True)
    index = traitlets.List(traitlets.Int()).tag(sync=True)
    answer = traitlets.Dict().tag(sync=True)
    guess = traitlets.Int(None, allow_none=True).tag(sync=True)

    def __init__(self, explorer):
        self._explorer = explorer
        index = list(explorer.start)
        super().__init__(spec=explorer.spec(), index=index, answer=self._ask(index))

    def _ask(self, index: list[int]) -> dict:
        try:
            tables = self._explorer.at(index)
        except Exception as error:
            # what fn raises is shown under the sliders, where its reader looks
            logging.getLogger(__name__).exception("the explorer's fn failed")
            return {"index": index, "error": str(error)}
        return {"index": index, "tables": as_rows(tables)}

    @traitlets.observe("index")
    def _answer(self, change):
        self.answer = self._ask(list(change["new"]))
