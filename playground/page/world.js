"use strict";

// The module: a server, a kernel and a peer. What was done is remembered, so that a step back is a run from the start.
class World {
  /** The actions of the module, by their numbers. */
  static ACTIONS = ["step", "end", "cut", "finish"];
  /** How many inputs are remembered. Later ones work, but cannot be undone. */
  static MAX_INPUTS = 20000;
  /** How many records are kept for a saved trace. */
  static MAX_RECORDS = 100000;

  /** From the text of the module, in base64. */
  constructor(base64) {
    const bytes = Uint8Array.from(atob(base64.trim()), (character) => character.charCodeAt(0));
    this.module = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;
    this.begin([]);
  }

  /** A new connection, with these inputs: `{setting, value}` or `{action}`, in numbers. Returns its records. */
  begin(inputs) {
    this.module.playground_begin();
    this.inputs = inputs;
    this.canGoBack = true;
    this.records = [];
    for (const input of inputs) this.apply(input);
    return this.report();
  }

  /** Returns the records of what followed. */
  do(input) {
    this.canGoBack &&= this.inputs.length < World.MAX_INPUTS;
    if (this.canGoBack) this.inputs.push(input);
    this.apply(input);
    return this.report();
  }

  apply({ setting, value, action }) {
    if (setting !== undefined) this.module.playground_set(setting, value);
    else this.module.playground_act(action);
  }

  /** The inputs without the last action, and what was set since. Undefined if there is none, or too many were made. */
  inputsBefore() {
    const last = this.inputs.findLastIndex(({ action }) => action !== undefined);
    return last >= 0 && this.canGoBack ? this.inputs.slice(0, last) : undefined;
  }

  /** Reads the new records and the state. */
  report() {
    const length = this.module.playground_report();
    const memory = new Uint8Array(this.module.memory.buffer, this.module.playground_text(), length);
    const lines = new TextDecoder().decode(memory).trimEnd().split("\n");
    this.state = JSON.parse(lines.pop());
    for (const line of lines) if (this.records.length < World.MAX_RECORDS) this.records.push(line);
    return lines;
  }

  /** All records as the text of a trace. */
  trace() {
    const isWhole = this.records.length < World.MAX_RECORDS;
    const end = { time: this.state.time, name: "trace:end", turn: this.state.turn, data: { why: isWhole ? "stopped" : "limit" } };
    return [...this.records, JSON.stringify(end), ""].join("\n");
  }
}
