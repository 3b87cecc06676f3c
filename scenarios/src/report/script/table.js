// The events that are seen, as a table, and how elements are made. Text is set as text, never as HTML.

const ROWS_MAX = 200;

/** An element with these properties and children. */
function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** The events in view, the first ones of them. */
class Table {
  constructor(names, onChoice) {
    this.names = names;
    this.onChoice = onChoice;
    this.body = element("tbody");
    this.caption = element("summary");
    const heads = ["time", "kind", "from", "to", "what"].map((text) => element("th", { textContent: text, scope: "col" }));
    this.root = element(
      "details", { className: "events" }, this.caption,
      element("div", { className: "scroll tall" }, element("table", {}, element("thead", {}, element("tr", {}, ...heads)), this.body)),
    );
  }

  show(events, view) {
    const more = events.length > ROWS_MAX ? `, the first ${ROWS_MAX} of them; zoom in for others` : "";
    this.caption.textContent = `Table of the ${events.length} events in view${more}`;
    this.body.replaceChildren(...events.slice(0, ROWS_MAX).map((event) => this.row(event, view)));
  }

  row(event, view) {
    const name = (lane) => this.names[lane] ?? "";
    const to = event.took === undefined ? "" : name(event.to);
    const swatch = element("i", { className: "swatch" });
    swatch.style.background = `var(--kind-${event.kind})`;
    const choose = element("button", { type: "button", className: "link", textContent: timeText(event.at, 1) });
    choose.addEventListener("click", () => this.onChoice(event));
    const cells = [[choose], [swatch, LABELS[event.kind]], [name(event.from)], [to], [eventText(event)]];
    return element("tr", {}, ...cells.map((content) => element("td", {}, ...content)));
  }
}
