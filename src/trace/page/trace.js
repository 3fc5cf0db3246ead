"use strict";

// A trace as the page needs it: events, and apart from them the sources and the stops of a tour.
const Trace = (() => {
  /** The lane of what belongs to no connection: the reactor and the server. */
  const LOOP = "loop";

  const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
  const word = (value) => (typeof value === "string" ? value : undefined);

  /** Data without objects, which could throw wherever they are compared or joined: they become words. */
  function plain(data) {
    const value = (key, of) => (key === "kernel" && isObject(of) ? kernel(of) : typeof of === "object" && of !== null ? JSON.stringify(of) : of);
    return Object.fromEntries(Object.entries(data).map(([key, of]) => [key, value(key, of)]));
  }

  const kernel = ({ receive_queue, send_queue }) => ({ receive_queue, send_queue });

  /** One record with every field of the type that the other modules expect. `number` is its place in the file. */
  function event(record, number) {
    return {
      number,
      time: Text.isCount(record.time) ? record.time : 0,
      name: word(record.name) ?? "unknown",
      group: word(record.group_id) ?? LOOP,
      turn: Text.isCount(record.turn) ? record.turn : 0,
      trigger: word(record.trigger),
      place: word(record.place),
      call: word(record.call),
      thread: record.thread,
      data: isObject(record.data) ? plain(record.data) : {},
    };
  }

  function mark(data, at) {
    return { at, title: data.title, text: data.text, question: word(data.question) };
  }

  /** Sorts a record into the trace. A mark refers to the event that follows it. */
  function add(trace, entry) {
    const { name, data } = entry;
    if (name === "source" && word(data.file) !== undefined && word(data.text) !== undefined) {
      trace.sources.set(data.file, data.text);
    } else if (name === "mark") {
      trace.marks.push(mark(data, trace.events.length));
    } else if (name !== "source") {
      trace.events.push(entry);
    }
  }

  /** Reads what the page holds: `{file, header, records, note}`. */
  function of({ file, header, records, note }) {
    const trace = { file, note, header: isObject(header) ? header : {}, events: [], marks: [], sources: new Map() };
    records.forEach((record, i) => isObject(record) && add(trace, event(record, i + 1)));
    trace.marks = trace.marks.filter((stop) => stop.at < trace.events.length);
    trace.isTruncated = trace.events.at(-1)?.name !== "trace:end";
    return trace;
  }

  /** The place of the event with this number in the file, or of the first one after it. */
  function indexOf(trace, number) {
    const at = firstFrom(trace.events.length, (i) => trace.events[i].number >= number);
    return Math.min(at, trace.events.length - 1);
  }

  /** The first of `0..length` for which `is` holds, if it holds for all that follow. */
  function firstFrom(length, is) {
    let [low, high] = [0, length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (is(middle)) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  return { LOOP, of, event, indexOf, firstFrom };
})();
