// What the page has of a run: events in order, filters, and the fragment of the address, which names them.
"use strict";

const MESSAGE_KINDS = ["data", "ack", "control", "drop"];
const KINDS = [...MESSAGE_KINDS, "again", "connection", "fault", "note", "alarm"];
const LABELS = {
  data: "data", ack: "acknowledgments", control: "SYN, FIN, RST", drop: "lost", again: "sent again",
  connection: "connections", fault: "faults", note: "notes", alarm: "alarms",
};
const NO_LANE = -1;

/** The events of a drawing, each with when it begins and ends in microseconds, and between which lanes. */
function eventsOf(drawing) {
  const { timeline, alarms } = drawing;
  const messages = timeline.messages.map(([at, took, from, to, bytes, kind, seq, text, lost]) => ({
    at, end: at + Math.max(took, 0), took, from, to, bytes, kind, seq, lost: lost === 1, text: timeline.texts[text],
  }));
  const marks = timeline.marks.map(([at, lane, kind, text]) => ({ at, end: at, from: lane, to: lane, kind, text }));
  const times = alarms.filter((alarm) => alarm.at_us !== null).map((alarm) => {
    const lane = alarm.lane === null ? NO_LANE : alarm.lane;
    return { at: alarm.at_us, end: alarm.at_us, from: lane, to: lane, kind: "alarm", text: alarm.what };
  });
  return [...messages, ...marks, ...times].sort((one, other) => one.at - other.at);
}

/** Which events are wanted: of which kinds, and of which host, by its lane, or of all. */
class Filter {
  constructor() {
    this.kinds = new Set(KINDS);
    this.lane = null;
  }

  takes(event) {
    if (!this.kinds.has(event.kind)) return false;
    return this.lane === null || event.from === this.lane || event.to === this.lane;
  }
}

/** The part of the run that is shown, in microseconds. */
class View {
  constructor(end) {
    this.whole = end;
    this.from = 0;
    this.to = end;
  }

  get length() {
    return this.to - this.from;
  }

  /** Shows `length` from `from`, or as near to that as the run allows. */
  show(from, length) {
    const least = 20;
    const shown = Math.min(Math.max(length, least), this.whole);
    this.from = Math.min(Math.max(from, 0), this.whole - shown);
    this.to = this.from + shown;
  }

  zoom(factor, around) {
    const place = (around - this.from) / this.length;
    const length = Math.min(Math.max(this.length * factor, 20), this.whole);
    this.show(around - place * length, length);
  }

  /** Moves by a part of what is shown. */
  pan(part) {
    this.show(this.from + this.length * part, this.length);
  }
}

/** What the fragment of the address says: `#run=0&host=player-1&kind=drop,fault&from=1.5&to=2`, times in seconds. */
function readFragment() {
  const said = new URLSearchParams(location.hash.slice(1));
  const number = (name) => (said.has(name) && said.get(name) !== "" ? Number(said.get(name)) : NaN);
  const kinds = said.has("kind") ? said.get("kind").split(",").filter((kind) => KINDS.includes(kind)) : null;
  return { run: number("run") || 0, host: said.get("host"), kinds, from: number("from") * 1e6, to: number("to") * 1e6 };
}

/** Says what differs from how a timeline is at first: without filters, and of the part until `busy`. */
function fragmentOf(run, host, filter, view, busy) {
  // Never empty: an empty fragment is the top of the page.
  const said = new URLSearchParams({ run });
  if (host !== null) said.set("host", host);
  if (filter.kinds.size < KINDS.length) said.set("kind", KINDS.filter((kind) => filter.kinds.has(kind)).join(","));
  if (view.from !== 0 || view.to !== Math.min(busy, view.whole)) {
    said.set("from", (view.from / 1e6).toFixed(6));
    said.set("to", (view.to / 1e6).toFixed(6));
  }
  return "#" + said.toString().replaceAll("%2C", ",");
}

/** A time, as precise as `step` needs, both in microseconds. */
function timeText(us, step) {
  const digits = Math.min(Math.max(Math.ceil(6 - Math.log10(Math.max(step, 1))), 0), 6);
  return (us / 1e6).toFixed(digits) + " s";
}

function durationText(us) {
  if (us >= 1e6) return (us / 1e6).toFixed(2) + " s";
  if (us >= 1e3) return (us / 1e3).toFixed(us >= 1e5 ? 0 : 1) + " ms";
  return Math.round(us) + " µs";
}

/** An amount of `bytes` or `bit/s`. */
function amountText(value, unit) {
  const short = unit === "bytes" ? "B" : unit;
  const magnitude = Math.abs(value);
  const prefixes = [[1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]];
  const [factor, prefix] = prefixes.find(([least]) => magnitude >= least) ?? [1, ""];
  const digits = factor === 1 || magnitude >= 100 * factor ? 0 : 1;
  return `${(value / factor).toFixed(digits)} ${prefix}${short}`;
}

/** What is told of an event in a line. */
function eventText(event) {
  const parts = [event.text];
  if (event.seq >= 0) parts.push("seq " + event.seq);
  if (event.bytes !== undefined) parts.push("len " + event.bytes);
  if (event.took >= 0) parts.push((event.lost ? "lost after " : "took ") + durationText(event.took));
  if (event.took < 0) parts.push("did not arrive");
  return parts.join(", ");
}
