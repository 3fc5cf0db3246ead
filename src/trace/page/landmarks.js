"use strict";

// The events that a reader wants to jump to.
const Landmarks = (() => {
  const isShort = ({ data }) => data.result === "would_block" || (Text.isCount(data.result) && data.result < data.asked);

  const KINDS = {
    blocked: {
      title: "blocked write",
      is: (event) => /^connection:(write|sent)$/.test(event.name) ? isShort(event) : event.name === "connection:blocked",
    },
    timeout: { title: "time-out", is: (event) => event.name === "connection:expired" },
    refused: { title: "refusal", is: (event) => event.name === "connection:refused" || event.name === "listener:failed" },
    stuck: { title: "lost wake-up", is: () => false }, // Found in the history: see `of`.
    closed: { title: "close", is: (event) => event.name === "connection:closed" },
  };

  /** Where each kind is, as sorted indexes of events. */
  function of(trace, history) {
    const found = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, []]));
    trace.events.forEach((event, i) => {
      for (const kind of Object.keys(KINDS)) if (KINDS[kind].is(event)) found[kind].push(i);
    });
    found.stuck = stuck(history);
    return found;
  }

  /** The events with which a slot becomes one that nothing will wake. */
  function stuck(history) {
    const found = new Set();
    for (const lane of history.lanes.values()) {
      lane.slots.forEach((slot, i) => {
        if (Why.isStuck(slot) && !(i > 0 && Why.isStuck(lane.slots[i - 1]))) found.add(lane.at[i]);
      });
    }
    return [...found].sort((a, b) => a - b);
  }

  /** The next place after `index` (or before it, if `way` is -1), or undefined. */
  function from(places, index, way) {
    const at = Trace.firstFrom(places.length, (i) => (way > 0 ? places[i] > index : places[i] >= index));
    return places[way > 0 ? at : at - 1];
  }

  return { KINDS, of, from };
})();
