// Quantities over time below the lanes, and the strip that shows the whole run and which part of it is seen.

const GRAPH_HEIGHT = 84;
const STRIP_HEIGHT = 34;

/** The value of a line at a time: it keeps its value until the next point. */
function valueAt(points, us) {
  let [low, high] = [0, points.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle][0] <= us) low = middle + 1;
    else high = middle;
  }
  return low === 0 ? null : points[low - 1][1];
}

/** A diagram with its legend. */
class Graph {
  constructor(graph) {
    this.graph = graph;
    this.canvas = element("canvas");
    this.values = graph.lines.map(() => element("span", { className: "value" }));
    const keys = graph.lines.map((line, index) => {
      const swatch = element("i", { className: "swatch" });
      swatch.style.background = `var(--line-${index + 1})`;
      return element("span", { className: "key" }, swatch, line.name, " ", this.values[index]);
    });
    this.root = element(
      "div", { className: "graph" },
      element("div", { className: "legend" }, element("b", {}, graph.title), ...keys),
      element("div", { className: "canvas" }, this.canvas),
    );
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", graph.title);
  }

  /** Those of the lines that are of `lane`, or of none, brightly; the others faintly. */
  draw(view, lane, cursor) {
    const { pen, width, height } = prepare(this.canvas, GRAPH_HEIGHT);
    const colours = palette();
    const { lines, unit } = this.graph;
    const scale = scaleOf(view, width);
    const seen = lines.map((line) => {
      const before = valueAt(line.points, view.from);
      const inside = line.points.filter(([at]) => at > view.from && at <= view.to);
      return before === null ? inside : [[view.from, before], ...inside];
    });
    const most = Math.max(1, ...seen.flat().map(([, value]) => value));
    const least = Math.min(0, ...seen.flat().map(([, value]) => value));
    const y = (value) => height - 6 - ((value - least) / (most - least)) * (height - 16);
    pen.strokeStyle = colours.rule;
    pen.fillStyle = colours.faint;
    pen.textAlign = "right";
    for (const value of least < 0 ? [least, 0, most] : [0, most]) {
      const place = Math.round(y(value)) + 0.5;
      pen.beginPath();
      pen.moveTo(GUTTER, place);
      pen.lineTo(width, place);
      pen.stroke();
      pen.fillText(amountText(value, unit), GUTTER - 8, Math.min(Math.max(place, 8), height - 8));
    }
    pen.save();
    pen.beginPath();
    pen.rect(GUTTER, 0, width - GUTTER - MARGIN, height);
    pen.clip();
    pen.lineJoin = "round";
    seen.forEach((points, index) => {
      if (points.length === 0) return;
      const isOut = lane !== null && lines[index].lane !== null && lines[index].lane !== lane;
      pen.globalAlpha = isOut ? 0.2 : 1;
      pen.strokeStyle = colours.lines[index];
      pen.lineWidth = 1.5;
      pen.beginPath();
      let last = points[0][1];
      pen.moveTo(scale.x(points[0][0]), y(last));
      for (const [at, value] of points.slice(1)) {
        pen.lineTo(scale.x(at), y(last));
        pen.lineTo(scale.x(at), y(value));
        last = value;
      }
      pen.lineTo(scale.x(view.to), y(last));
      pen.stroke();
    });
    pen.restore();
    this.tell(cursor, unit);
    if (cursor !== null) {
      pen.strokeStyle = colours.faint;
      pen.beginPath();
      pen.moveTo(scale.x(cursor), 0);
      pen.lineTo(scale.x(cursor), height);
      pen.stroke();
    }
  }

  tell(cursor, unit) {
    this.graph.lines.forEach((line, index) => {
      const value = cursor === null ? null : valueAt(line.points, cursor);
      this.values[index].textContent = value === null ? "" : amountText(value, unit);
    });
  }
}

/** The whole run in a strip: how many events there are when, and the part that is seen. */
class Strip {
  constructor(canvas) {
    this.canvas = canvas;
  }

  draw(events, filter, view) {
    const { pen, width, height } = prepare(this.canvas, STRIP_HEIGHT);
    const colours = palette();
    const whole = new View(view.whole);
    const scale = scaleOf(whole, width);
    this.scale = scale;
    const bins = new Array(Math.max(Math.floor(scale.room / 3), 1)).fill(0);
    for (const event of events) {
      if (!filter.takes(event)) continue;
      bins[Math.min(Math.floor((event.at / view.whole) * bins.length), bins.length - 1)] += 1;
    }
    const most = Math.log1p(Math.max(...bins, 1));
    pen.fillStyle = colours.kinds.data;
    bins.forEach((count, index) => {
      const tall = (Math.log1p(count) / most) * (height - 6);
      pen.fillRect(GUTTER + (index * scale.room) / bins.length, height - tall, 2, tall);
    });
    for (const event of events) {
      if (event.kind !== "alarm" && event.kind !== "fault") continue;
      pen.fillStyle = colours.kinds[event.kind];
      pen.fillRect(scale.x(event.at) - 1, event.kind === "alarm" ? 0 : 6, 2, 6);
    }
    pen.fillStyle = colours.faint;
    pen.textAlign = "right";
    pen.fillText("whole run", GUTTER - 8, height / 2);
    const [left, right] = [scale.x(view.from), scale.x(view.to)];
    pen.globalAlpha = 0.16;
    pen.fillStyle = colours.select;
    pen.fillRect(left, 0, right - left, height);
    pen.globalAlpha = 1;
    pen.strokeStyle = colours.select;
    pen.lineWidth = 2;
    pen.strokeRect(left + 1, 1, Math.max(right - left - 2, 2), height - 2);
    pen.lineWidth = 1;
  }
}
