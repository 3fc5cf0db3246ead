"use strict";

// Draws a slot: its gauges, its bells, and why it waits.
const Draw = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const BELL = "M8 1.5a4 4 0 0 0-4 4v3L2.5 11h11L12 8.5v-3a4 4 0 0 0-4-4zM6.5 12.5a1.5 1.5 0 0 0 3 0z";
  const WAVES = "M1.5 3.5q-1 2 0 4M14.5 3.5q1 2 0 4";
  const STRIKE = "M2 14 14 2";

  /** An element with a class and children, which are elements or text. */
  function element(name, className, ...children) {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...children);
    return made;
  }

  function path(className, d) {
    const made = document.createElementNS(SVG, "path");
    made.setAttribute("class", className);
    made.setAttribute("d", d);
    return made;
  }

  function bell(state) {
    const made = document.createElementNS(SVG, "svg");
    made.setAttribute("viewBox", "0 0 16 16");
    made.setAttribute("class", "bell");
    made.setAttribute("aria-hidden", "true");
    if (state) made.dataset.bell = state;
    made.append(path("body", BELL), path("waves", WAVES), path("strike", STRIKE));
    return made;
  }

  /** One direction: name, gauge, its words, bell, its words. */
  function way(name) {
    const fill = element("i");
    const gauge = element("span", "gauge", fill);
    const parts = { gauge, fill, amount: element("span", "amount"), bell: bell(), rings: element("span", "rings") };
    const line = element("div", `way ${name}`, element("span", "name", name), gauge, parts.amount, parts.bell, parts.rings);
    return { line, ...parts };
  }

  function showWay(parts, { level, share, amount, bell, rings }) {
    parts.gauge.dataset.level = level;
    parts.fill.style.width = `${Math.round(Math.min(share, 1) * 100)}%`;
    setText(parts.amount, amount);
    parts.bell.dataset.bell = bell;
    setText(parts.rings, rings);
  }

  /** Text that is as it was is left alone: a screen reader would say it again, and the browser lay it out again. */
  function setText(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  const RINGS = {
    armed: "armed",
    rung: "rung",
    spent: "spent: will not ring",
    none: "not asked to ring",
    over: "over",
  };

  /** How a bell looks: one that does not matter is only a shade. */
  const look = (bell, isWanted) => (bell === "spent" && !isWanted ? "idle" : bell);

  const QUEUE = { none: "queue: empty", some: "queue: not empty", unknown: "queue: unknown" };
  const END = { no: "", waits: " and the end", read: ", the end was read" };

  const lying = ({ bytes, level }) =>
    bytes !== undefined ? Text.bytes(bytes) : { none: "nothing", some: "some bytes", unknown: "unknown" }[level];

  /** The incoming direction: bytes in the kernel. `scale` is a full gauge of each direction, in bytes. */
  function incoming(slot, scale) {
    const { bytes, level, end, bell } = slot.in;
    const share = bytes !== undefined ? bytes / scale.in : { none: 0, some: 0.6, unknown: 0.3 }[level];
    const amount = slot.kind === "listener" ? QUEUE[level] : `kernel: ${lying(slot.in)}${END[end]}`;
    const isWanted = level !== "none" || end === "waits";
    const shown = look(bell, isWanted);
    return { level: bytes > 0 ? "known" : level, share, amount, bell: shown, rings: shown === "idle" ? "rung; nothing lies there" : RINGS[bell] };
  }

  /** The outgoing direction: bytes that the server keeps. */
  function outgoing(slot, scale) {
    const { pending, kernel, bell, isShut } = slot.out;
    const room = { room: "kernel has room", full: "kernel full", unknown: "kernel unknown" }[kernel];
    const shown = look(bell, pending > 0);
    return {
      level: pending > 0 ? "known" : "none",
      share: pending / scale.out,
      amount: isShut ? "shut down" : `${Text.count(pending)} pending, ${room}`,
      bell: shown,
      rings: shown === "idle" ? "rung; nothing to write" : RINGS[bell],
    };
  }

  /** The card of a slot. `show` changes only what differs. */
  class Card {
    constructor() {
      this.title = element("b");
      this.peer = element("span", "peer");
      this.totals = element("span", "totals");
      this.in = way("in");
      this.out = way("out");
      this.waits = element("span", "waits");
      this.wakes = element("span", "wakes");
      const head = element("div", "head", this.title, this.peer, this.totals);
      const why = element("p", "why", this.waits, " ", this.wakes);
      this.element = element("article", "slot", head, this.in.line, this.out.line, why);
    }

    show(slot, scale) {
      const why = Why.of(slot);
      this.element.classList.toggle("stuck", why.isStuck);
      this.element.dataset.kind = slot.kind;
      setText(this.title, Text.foreign(slot.group));
      setText(this.peer, slot.peer === undefined ? "" : Text.foreign(slot.peer));
      setText(this.totals, slot.kind === "connection" ? `read ${Text.count(slot.read)} · wrote ${Text.count(slot.wrote)}` : "");
      this.element.classList.toggle("over", slot.life !== "open");
      this.in.line.hidden = slot.kind === "loop";
      this.out.line.hidden = slot.kind !== "connection";
      if (slot.kind !== "loop") showWay(this.in, incoming(slot, scale));
      if (slot.kind === "connection") showWay(this.out, outgoing(slot, scale));
      setText(this.waits, why.waits);
      setText(this.wakes, why.wakes);
    }
  }

  return { Card, bell, element, setText };
})();
