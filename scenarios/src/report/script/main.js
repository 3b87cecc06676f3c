// Puts a timeline into each place that the page has for one, and answers to pointer, wheel and keys.

const HELP =
  "Drag to move, Shift and drag to zoom into a part, wheel to zoom once the timeline has the focus or with Ctrl; " +
  "keys: ← → move, + − zoom, 0 shows all, A the next alarm.";

/** A timeline with its tools, strip, graphs and table. */
class Timeline {
  constructor(place, run, drawing) {
    this.place = place;
    this.run = run;
    this.names = drawing.timeline.lanes;
    this.events = eventsOf(drawing);
    this.alarms = this.events.filter((event) => event.kind === "alarm");
    this.view = new View(drawing.end_us);
    this.busy = drawing.busy_us * 1.03;
    this.view.show(0, this.busy);
    this.filter = new Filter();
    this.selected = null;
    this.cursor = null;
    this.isDue = false;
    this.lanes = new Lanes(element("canvas", { tabIndex: 0, className: "lanes" }), this.names);
    this.lanes.canvas.setAttribute("aria-label", `Timeline of ${drawing.name}. ${HELP}`);
    this.lanes.canvas.setAttribute("role", "application");
    this.strip = new Strip(element("canvas", { className: "strip" }));
    this.graphs = drawing.graphs.map((graph) => new Graph(graph));
    this.table = new Table(this.names, (event) => this.choose(event));
    this.tip = element("div", { className: "tip", hidden: true });
    this.said = element("output", { className: "said" });
    const frame = (canvas) => element("div", { className: "canvas" }, canvas);
    place.append(
      this.tools(), frame(this.strip.canvas), frame(this.lanes.canvas),
      ...this.graphs.map((graph) => graph.root), this.tip,
      element("p", { className: "faint help", textContent: HELP }), this.table.root,
    );
    place.dataset.total = this.events.length;
    this.listen();
  }

  tools() {
    this.host = element("select", {}, element("option", { value: "", textContent: "all hosts" }));
    this.host.append(...this.names.map((name) => element("option", { value: name, textContent: name })));
    this.host.addEventListener("change", () => {
      this.filter.lane = this.host.value === "" ? null : this.names.indexOf(this.host.value);
      this.changed();
    });
    const counts = Object.groupBy(this.events, (event) => event.kind);
    this.boxes = KINDS.filter((kind) => counts[kind] !== undefined).map((kind) => {
      const box = element("input", { type: "checkbox", checked: true, value: kind });
      box.addEventListener("change", () => {
        if (box.checked) this.filter.kinds.add(kind);
        else this.filter.kinds.delete(kind);
        this.changed();
      });
      const swatch = element("i", { className: "swatch" });
      swatch.style.background = `var(--kind-${kind})`;
      return { box, label: element("label", { className: "kind" }, box, swatch, `${LABELS[kind]} ${counts[kind].length}`) };
    });
    const button = (text, title, action) => {
      const made = element("button", { type: "button", textContent: text, title });
      made.addEventListener("click", action);
      return made;
    };
    const moves = element(
      "span", { className: "moves" },
      button("←", "Earlier", () => this.move(() => this.view.pan(-0.5))),
      button("→", "Later", () => this.move(() => this.view.pan(0.5))),
      button("+", "Zoom in", () => this.zoom(0.5)),
      button("−", "Zoom out", () => this.zoom(2)),
      button("All", "The whole run", () => this.move(() => this.view.show(0, this.view.whole))),
    );
    if (this.alarms.length > 0) moves.append(button("Next alarm", "The next alarm, closely", () => this.nextAlarm()));
    return element(
      "div", { className: "tools" }, element("label", {}, "Host ", this.host), moves, this.said,
      element("div", { className: "kinds" }, ...this.boxes.map(({ label }) => label)),
    );
  }

  listen() {
    const { canvas } = this.lanes;
    canvas.addEventListener("wheel", (event) => {
      if (document.activeElement !== canvas && !event.ctrlKey) return;
      event.preventDefault();
      const around = this.lanes.scale.us(event.offsetX);
      this.move(() => this.view.zoom(event.deltaY > 0 ? 1.25 : 0.8, around));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("dblclick", (event) => this.move(() => this.view.zoom(0.4, this.lanes.scale.us(event.offsetX))));
    canvas.addEventListener("pointerdown", (down) => this.drag(down));
    canvas.addEventListener("pointermove", (event) => this.hover(event));
    canvas.addEventListener("pointerleave", () => this.hover(null));
    this.strip.canvas.addEventListener("pointerdown", (down) => {
      const scrub = (event) => {
        const at = this.strip.scale.us(event.offsetX);
        this.move(() => this.view.show(at - this.view.length / 2, this.view.length));
      };
      scrub(down);
      follow(this.strip.canvas, down, scrub);
    });
    new ResizeObserver(() => this.due()).observe(this.place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.due());
    this.place.closest("details")?.addEventListener("toggle", () => this.draw());
  }

  drag(down) {
    const { canvas, scale } = this.lanes;
    const [from, length] = [this.view.from, this.view.length];
    const start = scale.us(down.offsetX);
    let end = start;
    const moved = (event) => {
      end = from + ((event.offsetX - GUTTER) / scale.room) * length;
      if (!down.shiftKey) this.move(() => this.view.show(from - (end - start), length));
    };
    follow(canvas, down, moved, (up) => {
      if (down.shiftKey && Math.abs(up.offsetX - down.offsetX) > 4) {
        this.move(() => this.view.show(Math.min(start, end), Math.abs(end - start)));
      } else if (Math.abs(up.offsetX - down.offsetX) < 3) {
        this.selected = this.lanes.nearest(up.offsetX, up.offsetY);
        this.changed();
      }
    });
  }

  key(event) {
    const moves = {
      ArrowLeft: () => this.view.pan(-0.2), ArrowRight: () => this.view.pan(0.2),
      "+": () => this.view.zoom(0.6, (this.view.from + this.view.to) / 2),
      "-": () => this.view.zoom(1.7, (this.view.from + this.view.to) / 2),
      0: () => this.view.show(0, this.view.whole),
    };
    const key = event.key === "=" ? "+" : event.key;
    if (key.toLowerCase() === "a" && !event.ctrlKey && !event.metaKey) this.nextAlarm();
    else if (moves[key] !== undefined && !event.ctrlKey && !event.metaKey) this.move(moves[key]);
    else return;
    event.preventDefault();
  }

  zoom(factor) {
    this.move(() => this.view.zoom(factor, (this.view.from + this.view.to) / 2));
  }

  move(change) {
    change();
    this.changed();
  }

  choose(event) {
    this.selected = event;
    const length = Math.min(this.view.length, Math.max(20 * (event.end - event.at), 200_000));
    this.view.show((event.at + event.end) / 2 - length / 2, length);
    this.changed();
  }

  nextAlarm() {
    if (this.alarms.length === 0) return;
    const now = this.alarms.indexOf(this.selected);
    this.filter.kinds.add("alarm");
    this.choose(this.alarms[(now + 1) % this.alarms.length]);
  }

  /** The reader has changed what is seen: the address says so. */
  changed() {
    this.due();
    // Not at every step of a drag: browsers take so many for a page that has gone mad.
    clearTimeout(this.writing);
    this.writing = setTimeout(() => {
      const host = this.filter.lane === null ? null : this.names[this.filter.lane];
      written = fragmentOf(this.run, host, this.filter, this.view, this.busy);
      location.replace(written);
    }, 300);
  }

  /** Has it drawn once before the next frame. */
  due() {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.isDue = false;
    if (this.place.clientWidth === 0) return;
    const { filter, view } = this;
    const drawn = this.lanes.draw(this.events, filter, view, this.selected);
    this.strip.draw(this.events, filter, view);
    this.graphs.forEach((graph) => graph.draw(view, filter.lane, this.cursor));
    this.table.show(drawn, view);
    const step = view.length / 100;
    this.said.textContent = `${timeText(view.from, step)} to ${timeText(view.to, step)}: ${drawn.length} of ${this.events.length} events`;
    this.host.value = filter.lane === null ? "" : this.names[filter.lane];
    for (const { box } of this.boxes) box.checked = filter.kinds.has(box.value);
    this.place.dataset.drawn = drawn.length;
    this.place.dataset.from = Math.round(view.from);
    this.place.dataset.to = Math.round(view.to);
  }

  hover(event) {
    const place = event === null ? null : this.lanes.scale.us(event.offsetX);
    this.cursor = place === null || place < this.view.from || place > this.view.to ? null : place;
    this.graphs.forEach((graph) => graph.draw(this.view, this.filter.lane, this.cursor));
    const near = event === null ? null : this.lanes.nearest(event.offsetX, event.offsetY);
    this.tip.hidden = near === null;
    if (near === null) return;
    const ends = near.took === undefined ? "" : `, ${this.names[near.from]} → ${this.names[near.to]}`;
    this.tip.textContent = `${timeText(near.at, 1)} ${LABELS[near.kind]}${ends}\n${eventText(near)}`;
    const box = this.place.getBoundingClientRect();
    const x = Math.min(event.clientX - box.left + 14, box.width - this.tip.offsetWidth - 4);
    this.tip.style.left = Math.max(x, 0) + "px";
    this.tip.style.top = event.clientY - box.top + 16 + "px";
  }

  /** Takes filter and view from the address. */
  follow(said) {
    const lane = this.names.indexOf(said.host);
    this.filter.lane = lane < 0 ? null : lane;
    this.filter.kinds = new Set(said.kinds ?? KINDS);
    if (said.from < said.to) this.view.show(said.from, said.to - said.from);
    else this.view.show(0, this.busy);
    const details = this.place.closest("details");
    if (details !== null) details.open = true;
    this.draw();
    if (this.run > 0) this.place.scrollIntoView();
  }
}

/** Has `moved` told where the pointer goes until it is let go. */
function follow(canvas, down, moved, done = () => {}) {
  if (down.button !== 0) return;
  canvas.setPointerCapture(down.pointerId);
  const end = (event) => {
    canvas.removeEventListener("pointermove", moved);
    canvas.removeEventListener("pointerup", end);
    canvas.removeEventListener("pointercancel", end);
    done(event);
  };
  canvas.addEventListener("pointermove", moved);
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
}

/** What this page has written into the address itself. */
let written = location.hash;

function copyOn(button) {
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    } catch {
      // A page from disk may not write there: then it is selected, to be copied by the reader.
      getSelection().selectAllChildren(button.previousElementSibling);
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
}

const drawings = JSON.parse(document.getElementById("pictures").textContent);
const timelines = [...document.querySelectorAll("figure.timeline")].map((place) => {
  const run = Number(place.dataset.picture);
  return new Timeline(place, run, drawings[run]);
});
const asked = () => {
  const said = readFragment();
  timelines.find((timeline) => timeline.run === said.run)?.follow(said);
};
timelines.forEach((timeline) => timeline.draw());
if (location.hash.length > 1) asked();
addEventListener("hashchange", () => {
  if (location.hash !== written) asked();
});
document.querySelectorAll("button[data-copy]").forEach(copyOn);
