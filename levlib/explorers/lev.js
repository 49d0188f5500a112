// One explorer, two sources of states: packed in the page, or a kernel that answers. The drawing is
// the same.

const inflate = async (base64) => {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};

// A source: at(index) gives {table: rows} for one position of the sliders. This one reads what
// packing.py wrote.
const packedSource = async (spec) => {
  const bytes = new DataView((await inflate(spec.packed)).buffer);
  const decode = ({ offset, size, low, step, log }, k) => {
    if (!size) return bytes.getFloat64(offset + 8 * k, true);
    const level = bytes.getUint8(offset + k) + 256 * bytes.getUint8(offset + size + k);
    return log ? Math.exp(low + step * level) : low + step * level;
  };
  const table = ({ columns }, index) => {
    const rows = [];
    for (const [name, column] of Object.entries(columns)) {
      const place = column.on.reduce((at, s) => at * spec.sliders[s].labels.length + index[s], 0);
      const [start, end] = [place, place + 1].map((s) => column.starts[s] ?? s * column.starts);
      for (let k = start; k < end; k++)
        (rows[k - start] ??= {})[name] = column.text ? column.text[k] : decode(column, k);
    }
    return rows;
  };
  const at = (index) => Object.entries(spec.tables).map(([name, it]) => [name, table(it, index)]);
  return { at: (index) => Object.fromEntries(at(index)) };
};

const kernelSource = (model) => {
  const waiting = new Map();
  model.on("change:answer", () => {
    const answer = model.get("answer");
    const key = answer.index.join();
    const resolvers = waiting.get(key);
    waiting.delete(key);
    if (!resolvers) return;
    if (answer.error) resolvers[1](new Error(answer.error));
    else resolvers[0](answer.tables);
  });
  return {
    at: (index) => {
      const answer = model.get("answer");
      if (answer.index.join() === index.join()) {
        if (answer.error) throw new Error(answer.error);
        return answer.tables;
      }
      return new Promise((...resolvers) => {
        waiting.set(index.join(), resolvers);
        model.set("index", index);
        model.save_changes();
      });
    },
  };
};

const element = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};

const KEYS = {
  ArrowRight: (k) => k + 1,
  ArrowUp: (k) => k + 1,
  ArrowLeft: (k) => k - 1,
  ArrowDown: (k) => k - 1,
  PageUp: (k, n) => k + Math.max(2, Math.round(n / 10)),
  PageDown: (k, n) => k - Math.max(2, Math.round(n / 10)),
  Home: () => 0,
  End: (k, n) => n - 1,
};

let count = 0;

const sliderRow = (slider, moved) => {
  const id = `lev-slider-${++count}`;
  const last = slider.labels.length - 1;
  const range = { type: "range", min: 0, max: last, step: 1 };
  const input = element("input", { id, ...range, "data-name": slider.name });
  const output = element("output", { for: id });
  const set = (k) => {
    input.value = k;
    output.textContent = `${slider.symbol} = ${slider.labels[k]}`;
    input.setAttribute("aria-valuetext", `${slider.label || slider.name} ${slider.labels[k]}`);
  };
  const go = (k) => {
    set(Math.min(last, Math.max(0, k)));
    moved();
  };
  input.addEventListener("input", () => go(+input.value));
  // JupyterLab takes the arrow keys for itself unless they end here
  input.addEventListener("keydown", (event) => {
    if (!KEYS[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    go(KEYS[event.key](+input.value, last + 1));
  });
  set(slider.start);
  const label = element("label", { for: id }, slider.label || slider.name);
  return { row: element("div", { class: "lev-slider" }, label, output, input), input, set };
};

// A question that is answered, or skipped, before the sliders move. Nothing keeps the guess but the
// page as it stands.
const questionForm = (question, done) => {
  const name = `lev-question-${++count}`;
  const choice = (text, k) => {
    const id = `${name}-${k}`;
    const input = element("input", { type: "radio", id, name, value: k });
    const label = element("label", { for: id }, text);
    return element("div", { class: "lev-choice" }, input, label);
  };
  const commit = element("button", { type: "submit", class: "lev-commit", disabled: "" }, "Commit");
  const skip = element("button", { type: "button", class: "lev-skip" }, "Skip");
  const legend = element("legend", {}, question.text);
  const set = element("fieldset", {}, legend, ...question.choices.map(choice), commit, skip);
  const status = element("p", { role: "status" }, "The sliders wait for your guess.");
  const form = element("form", { class: "lev-question" }, set, status);
  const end = (k) => {
    set.disabled = true;
    form.classList.add("lev-answered");
    status.textContent = k < 0 ? "Skipped." : `Your guess: ${question.choices[k]}`;
    done(k);
  };
  form.addEventListener("change", () => (commit.disabled = false));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    end(+new FormData(form).get(name));
  });
  skip.addEventListener("click", () => end(-1));
  // JupyterLab and slides take keys for themselves
  form.addEventListener("keydown", (event) => event.stopPropagation());
  return form;
};

const panelBox = (panel) => {
  const view = element("div", { class: "lev-view" });
  const title = element("div", { class: "lev-title" }, panel.title);
  const said = { role: "img", "aria-label": panel.alt };
  const box = element("div", { class: "lev-panel", ...said }, title, view);
  if (panel.wide) box.classList.add("lev-wide");
  return { panel, box, view };
};

const makeView = async ({ panel, view }, rows) => {
  // ast: expressions are interpreted, so that a page may forbid eval
  const plain = { mode: "vega", ast: true, actions: false, defaultStyle: false };
  const options = { ...plain, renderer: panel.renderer };
  const filled = (source) => ({ ...source, values: rows[source.name] });
  const data = panel.vega.data.map((source) => (rows[source.name] ? filled(source) : source));
  const { view: chart } = await vegaEmbed(view, { ...panel.vega, data }, options);
  const width = () => Math.max(120, Math.floor(view.clientWidth));
  chart.width(width());
  await chart.runAsync();
  let last = width();
  new ResizeObserver(() => {
    if (view.clientWidth && width() !== last) chart.width((last = width())).runAsync();
  }).observe(view);
  return chart;
};

const mount = async (root, spec, source, guessed = () => {}) => {
  const body = root.querySelector(".lev-body");
  let shown = spec.sliders.map((slider) => slider.start);
  let wanted = null;
  let busy = false;
  const at = () => rows.map(({ input }) => +input.value);
  const ask = () => {
    wanted = at();
    if (!busy) redraw();
  };
  const rows = spec.sliders.map((slider) => sliderRow(slider, ask));
  const reset = element("button", { type: "button", class: "lev-reset" }, "Reset");
  reset.addEventListener("click", () => {
    rows.forEach(({ set }, k) => set(spec.sliders[k].start));
    ask();
  });
  const group = { role: "group", "aria-label": "sliders" };
  const controls = element("div", { class: "lev-controls", ...group });
  controls.append(...rows.map(({ row }) => row), reset);
  const readout = element("div", { class: "lev-readout" });
  const boxes = spec.panels.map(panelBox);
  const error = element("p", { class: "lev-error", role: "alert", hidden: "" });
  const panels = element("div", { class: "lev-panels" }, ...boxes.map(({ box }) => box));
  const lock = (locked) => {
    for (const input of controls.querySelectorAll("input, button")) input.disabled = locked;
    root.classList.toggle("lev-locked", locked);
  };
  const answered = (k) => {
    lock(false);
    rows[0].input.focus({ preventScroll: true });
    guessed(k);
  };
  const asked = spec.question ? [questionForm(spec.question, answered)] : [];
  lock(asked.length > 0);
  const shownReadout = spec.readout.length ? [readout] : [];
  body.replaceChildren(...asked, controls, error, ...shownReadout, panels);

  const read = (tables) => {
    const pairs = spec.readout.map(({ name, label }) => {
      const value = tables[name][0].value;
      const shown = element("output", { class: "lev-value" }, number(value));
      return element("div", {}, element("span", { class: "lev-key" }, label), shown);
    });
    readout.replaceChildren(...pairs);
  };
  const draw = async (tables, moved) => {
    // a kernel does not say what depends on what: there, everything is drawn again
    const depends = (name) => !spec.tables || spec.tables[name].on.some((s) => moved.has(s));
    const changed = new Set(Object.keys(tables).filter(depends));
    const drawn = boxes.map(({ panel }, k) => {
      const mine = panel.tables.filter((name) => changed.has(name));
      for (const name of mine) views[k].data(name, tables[name]);
      return mine.length ? views[k].runAsync() : null;
    });
    if (spec.readout.some(({ name }) => changed.has(name))) read(tables);
    await Promise.all(drawn);
  };
  const redraw = async () => {
    busy = true;
    while (wanted) {
      const index = wanted;
      wanted = null;
      try {
        const answer = source.at(index);
        const tables = answer instanceof Promise ? await answer : answer;
        await draw(tables, new Set(index.map((k, s) => (k === shown[s] ? -1 : s))));
        shown = index;
        error.hidden = true;
      } catch (problem) {
        error.textContent = problem.message;
        error.hidden = false;
      }
      root.dataset.index = index.join();
      globalThis.__levlib_redraws = (globalThis.__levlib_redraws || 0) + 1;
    }
    busy = false;
  };
  const first = await source.at(shown);
  read(first);
  const views = await Promise.all(boxes.map((box) => makeView(box, first)));
  root.dataset.index = shown.join();
  root.dataset.ready = "1";
  root.levlib = { spec, source, views };
  return {
    move: (index) => {
      if (index.join() === at().join()) return;
      rows.forEach(({ set }, k) => set(index[k]));
      ask();
    },
    end: () => views.forEach((view) => view.finalize()),
  };
};

// as number() in controls.py
const number = (value) => {
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const [digits, power] = value.toExponential(2).split("e").map(Number);
  if (power > -4 && power < 5) return String(Number(value.toPrecision(3)));
  const raise = (c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]);
  const raised = [...String(power)].map(raise).join("");
  return digits === 1 ? `10${raised}` : `${digits}·10${raised}`;
};

const start = () => {
  for (const root of document.querySelectorAll(".lev-explorer:not([data-ready])")) {
    const spec = JSON.parse(root.querySelector("script").textContent);
    packedSource(spec)
      .then((source) => mount(root, spec, source))
      .catch((problem) => console.error("explorer:", problem)); // the still picture stays
  }
};

const render = ({ model, el }) => {
  const spec = model.get("spec");
  const body = element("div", { class: "lev-body" });
  const root = element("div", { class: "lev-explorer lev-live" }, body);
  root.append(element("p", { class: "lev-caption" }, spec.caption));
  el.append(root);
  const mounted = new Promise((resolve) => requestAnimationFrame(resolve)).then(() =>
    mount(root, spec, kernelSource(model), (k) => {
      model.set("guess", k);
      model.save_changes();
    }),
  );
  model.on("change:index", () => mounted.then(({ move }) => move(model.get("index"))));
  return () => mounted.then(({ end }) => end());
};

globalThis.levlib = { start, render, number };
