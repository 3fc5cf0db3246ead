"use strict";

// A lane for each slot over time: which part of which lanes is in view, and where each event is. Lengths are in CSS
// pixels. paint.js paints them on two canvases: what does not change while the cursor moves, and the cursor.
const LANE = 42;
const RULER = 20;
/** So many loops stay in view above the other lanes. */
const MOST_PINNED = 2;

class Lanes {
  constructor(box, trace, history) {
    [this.box, this.trace, this.history] = [box, trace, history];
    this.spacer = box.querySelector(".spacer");
    [this.base, this.overlay] = box.querySelectorAll("canvas");
    this.isByTime = false;
    this.scale = largestAmounts(history);
    const lanes = [...history.lanes.values()];
    this.pinned = lanes.filter((lane) => lane.kind === "loop").slice(0, MOST_PINNED);
    this.head = RULER + this.pinned.length * LANE;
    this.lanes = lanes.filter((lane) => !this.pinned.includes(lane));
    this.shown = this.lanes;
    this.view = { from: -0.5, to: Math.min(trace.events.length, 150) - 0.5 };
    this.isStale = true;
    box.addEventListener("scroll", () => this.invalidate());
  }

  invalidate() {
    this.isStale = true;
  }

  /** Shows only these lanes. */
  show(lanes) {
    this.shown = lanes;
    this.invalidate();
  }

  /** Fits the canvases into the page, and takes its colours. */
  measure() {
    const style = getComputedStyle(this.box);
    const names = ["paper", "card", "ink", "faint", "rule", "edge", "accent", "armed", "rung", "spent", "stuck", "stuck-paper", "fill", "pending"];
    this.colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    this.ratio = window.devicePixelRatio || 1;
    this.spacer.style.height = `${this.head + this.shown.length * LANE}px`;
    this.width = this.box.clientWidth;
    this.height = Math.min(this.box.clientHeight, this.head + this.shown.length * LANE);
    this.gutter = this.width < 500 ? 58 : 128;
    for (const canvas of [this.base, this.overlay]) {
      canvas.width = Math.round(this.width * this.ratio);
      canvas.height = Math.round(this.height * this.ratio);
      canvas.style.width = `${this.width}px`;
      canvas.style.height = `${this.height}px`;
    }
    this.invalidate();
  }

  position(index) {
    return this.isByTime ? this.trace.events[index].time : index;
  }

  x(index) {
    const { from, to } = this.view;
    return this.gutter + ((this.position(index) - from) / (to - from)) * (this.width - this.gutter);
  }

  /** The event nearest to a place on the canvas. */
  indexAt(x) {
    const { from, to } = this.view;
    const { length } = this.trace.events;
    const at = from + ((x - this.gutter) / (this.width - this.gutter)) * (to - from);
    const after = Trace.firstFrom(length, (i) => this.position(i) >= at);
    const isBefore = after === length || (after > 0 && at - this.position(after - 1) < this.position(after) - at);
    return isBefore ? after - 1 : after;
  }

  setAxis(isByTime, index) {
    const part = (this.position(index) - this.view.from) / (this.view.to - this.view.from);
    const count = this.indexAt(this.width) - this.indexAt(this.gutter) + 1;
    this.isByTime = isByTime;
    const first = Math.max(0, Math.round(index - part * count));
    const last = Math.min(this.trace.events.length - 1, first + count - 1);
    this.setView(this.position(first) - (isByTime ? 0 : 0.5), this.position(last) + (isByTime ? 1 : 0.5));
  }

  /** Makes the view `factor` times as long, around an event. */
  zoom(factor, index) {
    const { from, to } = this.view;
    const at = Math.min(Math.max(this.position(index), from), to);
    this.setView(at - (at - from) * factor, at + (to - at) * factor);
  }

  fit() {
    this.setView(-Infinity, Infinity);
  }

  setView(from, to) {
    const margin = this.isByTime ? 1 : 0.5;
    const least = this.position(0) - margin;
    const most = this.position(this.trace.events.length - 1) + margin;
    const shortest = this.isByTime ? 10 : 8;
    if (to - from < shortest) [from, to] = [(from + to - shortest) / 2, (from + to + shortest) / 2];
    const length = Math.min(to - from, most - least);
    const start = Math.max(least, Math.min(from, most - length));
    this.view = { from: Number.isFinite(start) ? start : least, to: (Number.isFinite(start) ? start : least) + length };
    this.invalidate();
  }

  /** Moves the view so that an event and its lane are in it. */
  reveal(index) {
    const { from, to } = this.view;
    const at = this.position(index);
    if (at < from || at > to) this.setView(at - (to - from) * (at > to ? 0.1 : 0.9), at + (to - from) * (at > to ? 0.9 : 0.1));
    const row = this.rows.get(State.laneOf(this.trace.events[index]));
    if (row === undefined) return;
    const room = this.box.clientHeight - this.head - LANE;
    if (row * LANE < this.box.scrollTop || row * LANE > this.box.scrollTop + room) this.box.scrollTop = row * LANE - room / 2;
  }

  /** Where a lane begins on the canvas, or undefined if it is not shown. */
  top(group) {
    const pinned = this.pinned.findIndex((lane) => lane.group === group);
    if (pinned >= 0) return RULER + pinned * LANE;
    const row = this.rows.get(group);
    return row === undefined ? undefined : this.head + row * LANE - this.box.scrollTop;
  }

  /** The rows of the lanes that scroll, by group. */
  get rows() {
    if (this.rowsOf !== this.shown) {
      this.rowsOf = this.shown;
      this.rowOf = new Map(this.shown.map((lane, row) => [lane.group, row]));
    }
    return this.rowOf;
  }

  /** One frame. `isBlind` hides what comes after the cursor. */
  paint(index, isBlind) {
    if (this.isStale) Paint.lanes(this);
    this.isStale = false;
    Paint.cursor(this, index, isBlind);
  }
}

/** The largest amounts of bytes in the trace: a full gauge of each direction. */
function largestAmounts(history) {
  const largest = { in: 1, out: 1 };
  for (const { slots } of history.lanes.values()) {
    for (const slot of slots) {
      largest.in = Math.max(largest.in, slot.in.bytes ?? 0);
      largest.out = Math.max(largest.out, slot.out.pending);
    }
  }
  return largest;
}
