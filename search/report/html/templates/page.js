// Draws the charts as they come into sight; without it the pictures stand in their places.
(() => {
  const config = JSON.parse(document.getElementById("chart-config").textContent);
  const options = { mode: "vega-lite", renderer: "svg", ast: true, config, tooltip: { theme: "custom" },
    actions: { export: true, source: false, compiled: false, editor: false }, downloadFileName: "chart" };
  const named = ([columns, ...rows]) => rows.map((row) => Object.fromEntries(columns.map((name, i) => [name, row[i]])));
  let specs;
  const specOf = (figure) => {
    const spec = structuredClone(specs[figure.dataset.number]);
    for (const name in spec.datasets) spec.datasets[name] = named(spec.datasets[name]);
    return spec;
  };

  // Charts and Vega stand in the page as gzip. The page's policy knows Vega's hash, and lets it run once it is unpacked.
  async function unpacked(id) {
    const packed = Uint8Array.from(atob(document.getElementById(id).textContent), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }

  async function unpack() {
    specs = JSON.parse(await unpacked("specs"));
    const script = document.createElement("script");
    script.textContent = await unpacked("vega");
    document.head.append(script);
  }

  async function draw(figure) {
    const description = figure.querySelector(".still").getAttribute("aria-label");
    const found = await vegaEmbed(figure.querySelector(".live"), { description, ...specOf(figure) }, options);
    // What holds them says what they are.
    figure.querySelectorAll(".live svg").forEach((svg) => svg.setAttribute("aria-hidden", "true"));
    figure.view = found.view;
    figure.classList.add("drawn");
  }

  // As the wheel does above a point of the first panel: where the chosen rate is, if there is one.
  function zoom(figure, delta) {
    const panel = figure.querySelector(".live .role-scope .background") || figure.querySelector(".live .background");
    const box = panel.getBoundingClientRect();
    const focus = figure.dataset.focus;
    const across = focus === undefined ? box.width / 2 : figure.view.scale("x")(Number(focus));
    const where = { clientX: box.left + Math.min(Math.max(across, 1), box.width - 1), clientY: box.top + box.height / 2 };
    panel.dispatchEvent(new PointerEvent("pointermove", { ...where, bubbles: true }));
    panel.dispatchEvent(new WheelEvent("wheel", { ...where, deltaY: delta, ctrlKey: true, bubbles: true, cancelable: true }));
  }

  async function press(figure, what) {
    if (what === "back") {
      figure.view.finalize();
      await draw(figure);
    } else {
      zoom(figure, what === "in" ? -350 : 350);
    }
  }

  // What the marks of a layer are called in the legend.
  const kindOf = ({ encoding }) => (encoding.shape && encoding.shape.datum) || (encoding.fill && encoding.fill.datum) || "Marks";

  // All that a pointer is told, as tables.
  function fill(details, figure) {
    const spec = specOf(figure);
    const layers = (part) => [part, ...["layer", "hconcat", "vconcat"].flatMap((kind) => (part[kind] || []).flatMap(layers))];
    for (const layer of layers(spec)) {
      const told = layer.encoding && layer.encoding.tooltip;
      if (!Array.isArray(told) || !layer.data) continue;
      const rows = spec.datasets[layer.data.name];
      const region = document.createElement("div");
      region.className = "scroll";
      region.tabIndex = 0;
      const table = region.appendChild(document.createElement("table"));
      table.createCaption().textContent = kindOf(layer);
      const add = (parent, kind, text, scope) => {
        const cell = parent.appendChild(document.createElement(kind));
        cell.textContent = text;
        if (scope) cell.scope = scope;
      };
      const first = table.createTHead().insertRow();
      told.forEach((each) => add(first, "th", each.title, "col"));
      const body = table.createTBody();
      rows.forEach((row) => { const line = body.insertRow(); told.forEach((each) => add(line, "td", row[each.field] ?? "")); });
      details.append(region);
    }
  }

  const figures = [...document.querySelectorAll("figure")].filter((figure) => figure.querySelector(".live"));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((each) => each.isIntersecting)) {
      seen.unobserve(entry.target);
      draw(entry.target).catch((error) => console.error(error));
    }
  }, { rootMargin: "600px" });
  for (const figure of figures) {
    figure.querySelectorAll("button").forEach((button) => button.addEventListener("click", () => press(figure, button.dataset.zoom)));
    // The page is not to grow when a chart does.
    figure.querySelector(".live").addEventListener("wheel", (event) => { if (event.ctrlKey || event.metaKey) event.preventDefault(); }, { passive: false });
    const details = figure.querySelector(".numbers");
    details.addEventListener("toggle", () => { if (details.children.length === 1) fill(details, figure); });
  }
  if (figures.length) {
    unpack().then(() => {
      document.documentElement.classList.add("scripted");
      figures.forEach((figure) => seen.observe(figure));
    }, (error) => console.warn("The charts stay pictures:", error));
  }
})();
