"use strict";

// Paints lanes on their canvases.
const Paint = (() => {
  /** The middles of the strips of a lane: in and out. */
  const STRIPS = [11, 30];
  const TALLEST_BAR = 13;
  /** Signs closer than this are left out. */
  const CLOSEST = 3;
  const SUBTITLES = { loop: "at work or asleep", listener: "listener" };

  /** A context in CSS pixels, empty. */
  function cleared(canvas, ratio) {
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    return context;
  }

  function drawLanes(lanes) {
    const context = cleared(lanes.base, lanes.ratio);
    const events = [Math.max(0, lanes.indexAt(lanes.gutter) - 1), Math.min(lanes.trace.events.length - 1, lanes.indexAt(lanes.width) + 1)];
    const { scrollTop } = lanes.box;
    const first = Math.floor(scrollTop / LANE);
    const last = Math.floor((scrollTop + lanes.height - lanes.head) / LANE);
    for (const lane of lanes.shown.slice(first, last + 1)) paintLane(context, lanes, lane, lanes.head, events);
    context.fillStyle = lanes.colours.paper;
    context.fillRect(0, 0, lanes.width, lanes.head);
    for (const lane of lanes.pinned) paintLane(context, lanes, lane, RULER, events);
    paintRuler(context, lanes, events);
  }

  /** Paints one lane, and nothing above `limit`. */
  function paintLane(context, lanes, lane, limit, [first, last]) {
    const top = lanes.top(lane.group);
    context.save();
    context.beginPath();
    context.rect(lanes.gutter, Math.max(top, limit), lanes.width - lanes.gutter, LANE);
    context.clip();
    paintVersions(context, lanes, lane, top, first, last);
    paintSigns(context, lanes, lane, top, first, last);
    context.restore();
    paintLabel(context, lanes, lane, top);
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
    if (slot.isAsleep === undefined) return;
    context.fillStyle = slot.isAsleep ? colours.rule : colours.accent;
    if (slot.isAsleep) context.fillRect(from, top + LANE / 2 - 1, to - from, 2);
    else context.fillRect(from, top + 12, Math.max(to - from, 1), LANE - 24);
  }

  function paintSlot(context, { colours, scale }, slot, isStuck, x, width, top) {
    if (slot.life !== "open") return;
    context.fillStyle = isStuck ? colours["stuck-paper"] : colours.card;
    context.fillRect(x, top + 2, width, LANE - 4);
    paintAmount(context, colours.fill, slot.in.bytes ?? 0, scale.in, x, width, top + STRIPS[0] + 7);
    paintBell(context, colours, slot.in.bell, isStuck && slot.out.pending === 0, x, width, top + STRIPS[0]);
    if (slot.kind === "listener") return;
    paintAmount(context, colours.pending, slot.out.pending, scale.out, x, width, top + STRIPS[1] + 7);
    if (slot.out.pending > 0) paintBell(context, colours, slot.out.bell, isStuck, x, width, top + STRIPS[1] + 7);
  }

  /** Bytes over time, as a bar that stands on `bottom`. */
  function paintAmount(context, colour, bytes, scale, x, width, bottom) {
    const tall = bytes > 0 ? Math.max(2, (bytes / scale) * TALLEST_BAR) : 0;
    context.globalAlpha = 0.5;
    context.fillStyle = colour;
    context.fillRect(x, bottom - tall, width, tall);
    context.globalAlpha = 1;
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

  function paintLabel(context, { colours, gutter, width }, lane, top) {
    const { peer } = lane.slots.at(-1);
    context.fillStyle = colours.rule;
    context.fillRect(0, top + LANE - 0.5, width, 1);
    context.save();
    context.beginPath();
    context.rect(0, top, gutter - 6, LANE);
    context.clip();
    context.fillStyle = colours.ink;
    context.font = "600 12px system-ui, sans-serif";
    context.fillText(Text.foreign(lane.group.replace(/^listener:/, "")), 4, top + 17);
    context.fillStyle = colours.faint;
    context.font = "11px system-ui, sans-serif";
    context.fillText(lane.kind === "connection" ? Text.foreign(peer ?? "") : SUBTITLES[lane.kind], 4, top + 32);
    context.restore();
  }

  /** Five times or numbers of events, above the lanes. */
  function paintRuler(context, lanes, [first, last]) {
    const { colours, gutter, width, trace } = lanes;
    context.fillStyle = colours.faint;
    context.font = "11px system-ui, sans-serif";
    const ticks = Math.max(2, Math.floor((width - gutter) / 150));
    for (let tick = 0; tick < ticks; tick++) {
      const x = gutter + ((width - gutter) * tick) / ticks;
      const index = Math.min(Math.max(lanes.indexAt(x), first), last);
      const { number, time } = trace.events[index];
      context.fillRect(lanes.x(index), RULER - 4, 1, 4);
      context.fillText(lanes.isByTime ? Text.moment(time) : `${Text.count(number)}: ${Text.moment(time)}`, x + 2, 12);
    }
  }

  function drawCursor(lanes, index, isBlind) {
    const context = cleared(lanes.overlay, lanes.ratio);
    const { colours, width, height, gutter } = lanes;
    const x = lanes.x(index);
    if (isBlind) {
      const next = Math.min(index + 1, lanes.trace.events.length - 1);
      const from = Math.max(gutter, (x + lanes.x(next)) / 2 + 1);
      context.fillStyle = colours.paper;
      context.fillRect(from, 0, width - from, height);
    }
    if (x < gutter || x > width) return;
    context.fillStyle = colours.accent;
    context.fillRect(x - 0.75, RULER - 6, 1.5, height);
    const top = lanes.top(State.laneOf(lanes.trace.events[index]));
    if (top === undefined || top < RULER) return;
    context.strokeStyle = colours.accent;
    context.lineWidth = 2;
    context.strokeRect(x - 7, top + 2, 14, LANE - 4);
  }

  return { lanes: drawLanes, cursor: drawCursor };
})();
