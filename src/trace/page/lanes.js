"use strict";

// A lane for each slot over time, on a canvas. What does not change while the cursor moves is painted once.
const LANE = 42; // Heights and widths in CSS pixels.
const RULER = 20;
const STRIPS = [11, 30];
const TALLEST_BAR = 13;
/** Signs closer than this are left out. */
const CLOSEST = 3;

class Lanes {
  constructor(box, trace, history) {
    [this.box, this.trace, this.history] = [box, trace, history];
    this.spacer = box.querySelector(".spacer");
    [this.base, this.overlay] = box.querySelectorAll("canvas");
    this.isByTime = false;
    this.lanes = [...history.lanes.values()];
    this.scale = largestAmount(history);
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
    this.spacer.style.height = `${RULER + this.shown.length * LANE}px`;
    this.width = this.box.clientWidth;
    this.height = Math.min(this.box.clientHeight, RULER + this.shown.length * LANE);
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

  /** The lane at a height on the canvas, if there is one. */
  laneAt(y) {
    return y < RULER ? undefined : this.shown[Math.floor((y - RULER + this.box.scrollTop) / LANE)];
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
    const top = row * LANE;
    const room = this.box.clientHeight - RULER - LANE;
    if (top < this.box.scrollTop || top > this.box.scrollTop + room) this.box.scrollTop = top - room / 2;
  }

  get rows() {
    if (this.rowsOf !== this.shown) {
      this.rowsOf = this.shown;
      this.rowOf = new Map(this.shown.map((lane, row) => [lane.group, row]));
    }
    return this.rowOf;
  }

  /** One frame. `isBlind` hides what comes after the cursor. */
  paint(index, isBlind) {
    if (this.isStale) paintLanes(this);
    this.isStale = false;
    paintCursor(this, index, isBlind);
  }
}

/** The largest amount of bytes in the trace: a full gauge. */
function largestAmount(history) {
  let largest = 1;
  for (const { slots } of history.lanes.values()) {
    for (const slot of slots) largest = Math.max(largest, slot.out.pending, slot.in.bytes ?? 0);
  }
  return largest;
}

/** A context in CSS pixels, empty. */
function cleared(canvas, ratio) {
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  return context;
}

function paintLanes(lanes) {
  const context = cleared(lanes.base, lanes.ratio);
  const { scrollTop } = lanes.box;
  const first = Math.floor(scrollTop / LANE);
  const last = Math.min(lanes.shown.length - 1, Math.floor((scrollTop + lanes.height) / LANE));
  const events = [Math.max(0, lanes.indexAt(lanes.gutter) - 1), Math.min(lanes.trace.events.length - 1, lanes.indexAt(lanes.width) + 1)];
  for (let row = first; row <= last; row++) paintLane(context, lanes, lanes.shown[row], RULER + row * LANE - scrollTop, events);
  paintRuler(context, lanes, events);
}

function paintLane(context, lanes, lane, top, [first, last]) {
  context.save();
  context.beginPath();
  context.rect(lanes.gutter, Math.max(top, RULER), lanes.width - lanes.gutter, LANE);
  context.clip();
  paintVersions(context, lanes, lane, top, first, last);
  paintSigns(context, lanes, lane, top, first, last);
  context.restore();
  paintLabel(context, lanes, lane, top, last);
}

/** What the slot was, as strips. Versions narrower than a pixel make room for the next one. */
function paintVersions(context, lanes, lane, top, first, last) {
  const { at, slots } = lane;
  for (let k = Math.max(0, History.version(lane, first)); k < at.length && at[k] <= last; k++) {
    const isStuck = Why.isStuck(slots[k]);
    const from = lanes.x(at[k]);
    const to = k + 1 < at.length ? lanes.x(at[k + 1]) : lanes.width;
    if (to - from < 0.5 && !isStuck && k + 1 < at.length) continue;
    if (slots[k].kind === "loop") paintLoop(context, lanes.colours, slots[k], from, to, top);
    else paintSlot(context, lanes, slots[k], isStuck, from, Math.max(to - from, 1), top);
  }
}

function paintLoop(context, colours, slot, from, to, top) {
  context.fillStyle = slot.isAsleep ? colours.rule : colours.accent;
  if (slot.isAsleep) context.fillRect(from, top + LANE / 2 - 1, to - from, 2);
  else context.fillRect(from, top + 12, Math.max(to - from, 1), LANE - 24);
}

function paintSlot(context, { colours, scale }, slot, isStuck, x, width, top) {
  if (slot.life !== "open") return;
  context.fillStyle = isStuck ? colours["stuck-paper"] : colours.card;
  context.fillRect(x, top + 2, width, LANE - 4);
  paintBell(context, colours, slot.in.bell, isStuck && slot.out.pending === 0, x, width, top + STRIPS[0]);
  if (slot.kind === "listener") return;
  const tall = slot.out.pending > 0 ? Math.max(2, (slot.out.pending / scale) * TALLEST_BAR) : 0;
  context.globalAlpha = 0.55;
  context.fillStyle = colours.pending;
  context.fillRect(x, top + STRIPS[1] + 7 - tall, width, tall);
  context.globalAlpha = 1;
  if (slot.out.pending > 0) paintBell(context, colours, slot.out.bell, isStuck, x, width, top + STRIPS[1] + 7);
}

/** A bell over time: a thin line while it is armed or dark, a band while the kernel's word is used. */
function paintBell(context, colours, bell, isStuck, x, width, y) {
  const colour = isStuck ? "stuck" : { armed: "armed", rung: "rung", spent: "edge" }[bell];
  if (!colour) return;
  const thick = isStuck ? 5 : bell === "rung" ? 4 : 1.5;
  context.fillStyle = colours[colour];
  context.fillRect(x, y - thick / 2, width, thick);
}

function paintSigns(context, lanes, lane, top, first, last) {
  const strips = STRIPS.map((middle) => top + middle);
  let before = -Infinity;
  for (let k = Math.max(0, History.version(lane, first)); k < lane.at.length && lane.at[k] <= last; k++) {
    const event = lanes.trace.events[lane.at[k]];
    const x = lanes.x(lane.at[k]);
    if (x - before < CLOSEST || State.laneOf(event) !== lane.group) continue;
    before = x;
    Glyphs.draw(context, lanes.colours, event, x, strips);
  }
}

function paintLabel(context, { colours, gutter, width }, lane, top, last) {
  const slot = lane.slots[Math.max(0, History.version(lane, last))];
  context.fillStyle = colours.rule;
  context.fillRect(0, top + LANE - 0.5, width, 1);
  context.save();
  context.beginPath();
  context.rect(0, Math.max(top, RULER), gutter - 6, LANE);
  context.clip();
  context.fillStyle = colours.ink;
  context.font = "600 12px system-ui, sans-serif";
  context.fillText(Text.foreign(lane.group.replace(/^listener:/, "")), 4, top + 17);
  context.fillStyle = colours.faint;
  context.font = "11px system-ui, sans-serif";
  context.fillText(lane.kind === "connection" ? Text.foreign(slot.peer ?? "") : lane.kind, 4, top + 32);
  context.restore();
}

/** Five times or numbers of events, above the lanes. */
function paintRuler(context, lanes, [first, last]) {
  const { colours, gutter, width, trace } = lanes;
  context.fillStyle = colours.paper;
  context.fillRect(0, 0, width, RULER);
  context.fillStyle = colours.faint;
  context.font = "11px system-ui, sans-serif";
  const ticks = width < 500 ? 3 : 6;
  for (let tick = 0; tick < ticks; tick++) {
    const x = gutter + ((width - gutter) * tick) / ticks;
    const index = Math.min(Math.max(lanes.indexAt(x), first), last);
    const { number, time } = trace.events[index];
    context.fillRect(lanes.x(index), RULER - 4, 1, 4);
    context.fillText(lanes.isByTime ? Text.moment(time) : `${Text.count(number)}: ${Text.moment(time)}`, x + 2, 12);
  }
}

function paintCursor(lanes, index, isBlind) {
  const context = cleared(lanes.overlay, lanes.ratio);
  const { colours, width, height, gutter, box } = lanes;
  const x = lanes.x(index);
  if (isBlind) {
    const from = Math.max(gutter, x + 6);
    context.fillStyle = colours.paper;
    context.fillRect(from, 0, width - from, height);
  }
  if (x < gutter || x > width) return;
  context.fillStyle = colours.accent;
  context.fillRect(x - 0.75, RULER - 6, 1.5, height);
  const row = lanes.rows.get(State.laneOf(lanes.trace.events[index]));
  if (row === undefined) return;
  context.strokeStyle = colours.accent;
  context.lineWidth = 2;
  context.strokeRect(x - 7, RULER + row * LANE - box.scrollTop + 2, 14, LANE - 4);
}
