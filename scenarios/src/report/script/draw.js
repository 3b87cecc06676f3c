// The lanes on a canvas: messages as arrows between them, what happens at hosts as signs on them.

const GUTTER = 132;
const AXIS = 24;
const MARGIN = 10;
const ARROWHEADS_MAX = 600;

/** Colours and fonts of the page as they are now: they change with the reader's preference. */
function palette() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue("--" + name).trim();
  const kinds = Object.fromEntries(KINDS.map((kind) => [kind, of("kind-" + kind)]));
  const lines = [1, 2, 3, 4, 5, 6, 7].map((number) => of("line-" + number));
  return { text: of("text"), faint: of("faint"), rule: of("rule"), paper: of("paper"), select: of("select"), kinds, lines };
}

/** Gives `canvas` the size that it has on the page, and what draws on it in units of the page. */
function prepare(canvas, height) {
  const width = canvas.parentElement.clientWidth;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = height + "px";
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = "12px system-ui, sans-serif";
  pen.textBaseline = "middle";
  return { pen, width, height };
}

/** From time to place, and back. */
function scaleOf(view, width) {
  const room = width - GUTTER - MARGIN;
  const x = (us) => GUTTER + ((us - view.from) / view.length) * room;
  const us = (place) => view.from + ((place - GUTTER) / room) * view.length;
  return { x, us, room };
}

/** Round times for the axis, with what lies between them. */
function ticksOf(view, room) {
  const least = view.length / Math.max(room / 90, 1);
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((times) => times * power).find((candidate) => candidate >= least);
  const ticks = [];
  for (let at = Math.ceil(view.from / step) * step; at <= view.to; at += step) ticks.push(at);
  return { ticks, step };
}

function clip(pen, text, room) {
  if (pen.measureText(text).width <= room) return text;
  let length = text.length;
  while (length > 1 && pen.measureText(text.slice(0, length) + "…").width > room) length -= 1;
  return text.slice(0, length) + "…";
}

/** The canvas with the lanes. */
class Lanes {
  constructor(canvas, names) {
    this.canvas = canvas;
    this.names = names;
    const each = Math.min(Math.max(420 / names.length, 20), 56);
    this.each = each;
    this.height = AXIS + each * names.length + 8;
    this.drawn = [];
  }

  y(lane) {
    return lane === NO_LANE ? AXIS - 6 : AXIS + this.each * (lane + 0.5);
  }

  /** Draws what `filter` takes of `events` in `view`; gives it. */
  draw(events, filter, view, selected) {
    const { pen, width, height } = prepare(this.canvas, this.height);
    const colours = palette();
    const scale = scaleOf(view, width);
    this.scale = scale;
    this.drawn = events.filter((event) => event.at <= view.to && event.end >= view.from && filter.takes(event));
    this.axis(pen, colours, view, scale, height);
    this.rails(pen, colours, filter, width);
    pen.save();
    pen.beginPath();
    pen.rect(GUTTER, 0, width - GUTTER, height);
    pen.clip();
    const messages = this.drawn.filter((event) => event.took !== undefined);
    const many = Math.max(messages.length / (scale.room * 0.7), 1);
    const alpha = Math.max(0.85 / many ** 0.8, 0.07);
    for (const kind of ["ack", "data", "control", "drop"]) {
      const those = messages.filter((event) => event.kind === kind);
      this.arrows(pen, scale, those, colours.kinds[kind], kind === "drop" ? 0.95 : alpha, messages.length);
    }
    for (const kind of KINDS) this.signs(pen, scale, kind, height, colours);
    if (selected !== null) this.highlight(pen, scale, selected, colours, height);
    pen.restore();
    return this.drawn;
  }

  axis(pen, colours, view, scale, height) {
    const { ticks, step } = ticksOf(view, scale.room);
    pen.strokeStyle = colours.rule;
    pen.fillStyle = colours.faint;
    pen.textAlign = "center";
    pen.lineWidth = 1;
    for (const at of ticks) {
      const x = Math.round(scale.x(at)) + 0.5;
      pen.beginPath();
      pen.moveTo(x, AXIS - 4);
      pen.lineTo(x, height);
      pen.stroke();
      const label = timeText(at, step);
      const half = pen.measureText(label).width / 2;
      pen.fillText(label, Math.min(Math.max(x, GUTTER + half), GUTTER + scale.room + MARGIN - half), 9);
    }
  }

  rails(pen, colours, filter, width) {
    pen.textAlign = "right";
    this.names.forEach((name, lane) => {
      const y = Math.round(this.y(lane)) + 0.5;
      const isOut = filter.lane !== null && filter.lane !== lane;
      pen.globalAlpha = isOut ? 0.25 : 0.6;
      pen.strokeStyle = colours.faint;
      pen.fillStyle = isOut ? colours.faint : colours.text;
      pen.beginPath();
      pen.moveTo(GUTTER, y);
      pen.lineTo(width, y);
      pen.stroke();
      pen.globalAlpha = 1;
      pen.fillText(clip(pen, name, GUTTER - 16), GUTTER - 8, y);
    });
  }

  /** Where a message's line begins and ends. One that did not arrive ends before its lane. */
  line(scale, event) {
    const [x, y] = [scale.x(event.at), this.y(event.from)];
    const [far, bottom] = [scale.x(event.end), this.y(event.to)];
    const gap = event.lost || event.took < 0 ? this.each * 0.3 : 0;
    const part = 1 - Math.min(gap / Math.max(Math.abs(bottom - y), 1), 0.5);
    return [x, y, x + (far - x) * part, y + (bottom - y) * part];
  }

  arrows(pen, scale, messages, colour, alpha, count) {
    pen.globalAlpha = alpha;
    pen.strokeStyle = pen.fillStyle = colour;
    pen.lineWidth = count > ARROWHEADS_MAX ? 1 : 1.4;
    // A path of its own for each: where they lie close, they add up to a darker place.
    for (const event of messages) {
      const [x, y, far, bottom] = this.line(scale, event);
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(far, bottom);
      pen.stroke();
      if (event.lost) this.cross(pen, far, bottom, 4.5);
      else if (count <= ARROWHEADS_MAX && event.took >= 0) this.head(pen, x, y, far, bottom);
    }
    pen.globalAlpha = 1;
  }

  head(pen, x, y, far, bottom) {
    const angle = Math.atan2(bottom - y, far - x);
    pen.beginPath();
    pen.moveTo(far, bottom);
    pen.lineTo(far - 7 * Math.cos(angle - 0.4), bottom - 7 * Math.sin(angle - 0.4));
    pen.lineTo(far - 7 * Math.cos(angle + 0.4), bottom - 7 * Math.sin(angle + 0.4));
    pen.fill();
  }

  cross(pen, x, y, size) {
    pen.lineWidth = 2;
    pen.beginPath();
    pen.moveTo(x - size, y - size);
    pen.lineTo(x + size, y + size);
    pen.moveTo(x + size, y - size);
    pen.lineTo(x - size, y + size);
    pen.stroke();
    pen.lineWidth = 1;
  }

  /** What happened at hosts, of one kind. Of signs that would lie on each other, one is drawn. */
  signs(pen, scale, kind, height, colours) {
    pen.fillStyle = pen.strokeStyle = colours.kinds[kind];
    const last = new Map();
    let ruled = -Infinity;
    for (const event of this.drawn) {
      if (event.kind !== kind || event.took !== undefined) continue;
      const x = scale.x(event.at);
      if ((kind === "alarm" || kind === "fault") && x - ruled >= 8) {
        pen.globalAlpha = 0.5;
        pen.fillRect(Math.round(x), AXIS - 4, 1, height - AXIS);
        pen.globalAlpha = 1;
        ruled = x;
      }
      if (x - (last.get(event.from) ?? -Infinity) < 4) continue;
      last.set(event.from, x);
      this.sign(pen, event.kind, x, this.y(event.from), colours);
    }
  }

  sign(pen, kind, x, y, colours) {
    pen.beginPath();
    switch (kind) {
      case "alarm":
        pen.moveTo(x, y - 8);
        pen.lineTo(x + 8, y + 6);
        pen.lineTo(x - 8, y + 6);
        break;
      case "fault":
        pen.moveTo(x, y - 7);
        pen.lineTo(x + 7, y);
        pen.lineTo(x, y + 7);
        pen.lineTo(x - 7, y);
        break;
      case "note":
        pen.arc(x, y, 4, 0, 2 * Math.PI);
        break;
      case "again":
        pen.moveTo(x - 4, y - 5);
        pen.lineTo(x + 5, y);
        pen.lineTo(x - 4, y + 5);
        break;
      case "drop":
        this.cross(pen, x, y, 4.5);
        return;
      default:
        pen.rect(x - 3, y - 3, 6, 6);
    }
    pen.closePath();
    pen.fill();
    pen.save();
    pen.strokeStyle = colours.paper;
    pen.lineWidth = 1;
    pen.stroke();
    pen.restore();
  }

  highlight(pen, scale, event, colours, height) {
    pen.strokeStyle = colours.select;
    pen.lineWidth = 3;
    pen.beginPath();
    if (event.took === undefined) {
      const y = this.y(event.from);
      pen.arc(scale.x(event.at), y, 10, 0, 2 * Math.PI);
    } else {
      const [x, y, far, bottom] = this.line(scale, event);
      pen.moveTo(x, y);
      pen.lineTo(far, bottom);
    }
    pen.stroke();
    pen.lineWidth = 1;
  }

  /** The event nearest to a place on the canvas, if it is near. */
  nearest(x, y) {
    let [best, least] = [null, 9];
    for (const event of this.drawn) {
      const distance =
        event.took === undefined
          ? Math.hypot(this.scale.x(event.at) - x, this.y(event.from) - y) - 5
          : distanceTo(this.line(this.scale, event), x, y);
      if (distance < least) [best, least] = [event, distance];
    }
    return best;
  }
}

function distanceTo([x, y, far, bottom], px, py) {
  const [dx, dy] = [far - x, bottom - y];
  const square = dx * dx + dy * dy;
  const part = square === 0 ? 0 : Math.min(Math.max(((px - x) * dx + (py - y) * dy) / square, 0), 1);
  return Math.hypot(x + part * dx - px, y + part * dy - py);
}
