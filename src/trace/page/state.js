"use strict";

// What a trace proves about each connection. `State.apply` takes one event; nothing else changes a state.
//
// A slot is what the server holds for one connection or listener. For each direction it has a bell, which is what the
// kernel will do, and a gauge, which is what lies there:
//
//   armed   The kernel rings when there is something new. A call said would_block, or moved less than it was asked to,
//           which proves the same (epoll(7), question 9), or the socket was just registered.
//   rung    The kernel reported something. Nothing since has proved that the socket is empty (or full).
//   spent   The kernel reported something, nothing proved the socket empty, and the server went to sleep. For what is
//           already there, the kernel does not ring again. Only edges can be spent: with levels, the kernel rings as long as something is there.
//   none    The kernel was not asked to ring.
//   over    There is nothing more to ring for: the end was read, or the connection is closed.
//
// A slot is never changed, only replaced. So what an event changed is what is another object than before, and all
// that a slot ever was can be kept: see `History`.
const State = (() => {
  const CLOSED_FLAGS = ["read_closed", "error", "priority"];

  const BEGINNINGS = new Set(["connection:accepted", "connection:connecting", "connection:connected", "reactor:registered"]);

  const fresh = () => ({ slots: new Map(), rung: new Set() });

  function slotOf(group, kind) {
    return {
      group, kind, peer: undefined, thread: undefined, life: "open", why: undefined, mode: undefined,
      // level: none, some or unknown. bytes: only if the trace knows them. end: no, waits (reported, not read) or read.
      in: { bell: "none", level: "unknown", bytes: undefined, end: "no" },
      // kernel: room, full or unknown. pending: bytes that the server keeps until the kernel takes them.
      out: { bell: "none", kernel: "unknown", pending: 0, isShut: false },
      read: 0, wrote: 0, isQueued: false, wasShortReadProof: true, hasFailed: false, retryAt: undefined, isAsleep: undefined,
    };
  }

  /** A socket that is registered with edges rings once for each change, with levels as long as there is something. */
  function registered(slot, { data }) {
    const interest = String(data.interest ?? "");
    const bell = (of) => (interest.includes(of) ? "armed" : "none");
    const mode = data.mode === "level" ? "level" : "edge";
    return { mode, in: { ...slot.in, bell: bell("readable") }, out: { ...slot.out, bell: bell("writable") } };
  }

  function ready(slot, { data, trigger }) {
    if (trigger === "queue") return { isQueued: false };
    const isSpecial = CLOSED_FLAGS.some((flag) => data[flag]);
    const changes = { isQueued: false, wasShortReadProof: slot.wasShortReadProof && !isSpecial };
    if (data.readable || data.read_closed || data.error) changes.in = reported(slot.in, data);
    if (data.writable || data.write_closed || data.error) changes.out = { ...slot.out, bell: "rung", kernel: "room" };
    return changes;
  }

  function reported(before, data) {
    if (before.end === "read") return before;
    const isMore = data.readable && before.level !== "some";
    return {
      bell: "rung",
      level: data.readable ? "some" : before.level,
      bytes: isMore ? undefined : before.bytes,
      end: data.read_closed || data.error ? "waits" : before.end,
    };
  }

  function read(slot, { data }) {
    const { result, asked } = data;
    if (result === "end") return { in: { ...slot.in, bell: "over", level: "none", bytes: 0, end: "read" } };
    if (result === "would_block") return { wasShortReadProof: true, in: emptied(slot) };
    if (!Text.isCount(result)) return { in: { ...slot.in, bell: "over", level: "none", bytes: 0 } };
    const changes = { read: slot.read + result };
    const isShort = result < asked;
    if (isShort && slot.wasShortReadProof && isTcp(slot)) return { ...changes, in: emptied(slot) };
    return { ...changes, in: { ...slot.in, bell: atWork(slot.in.bell), ...rest(data, isShort) } };
  }

  const emptied = (slot) => ({ ...slot.in, bell: armed(slot, slot.in.bell), level: "none", bytes: 0 });

  /** What a read that proved nothing left in the kernel. */
  function rest({ result, kernel }, isShort) {
    const held = kernel?.receive_queue;
    if (Text.isCount(held) && held >= result) {
      return { level: held > result ? "some" : "none", bytes: held - result };
    }
    return isShort ? { level: "none", bytes: undefined } : { level: "unknown", bytes: undefined };
  }

  function write(slot, { data }) {
    const { result, asked } = data;
    const took = Text.isCount(result) ? result : 0;
    if (!Text.isCount(result) && result !== "would_block") return { out: { ...slot.out, bell: "over" } };
    const pending = Text.isCount(asked) ? Math.max(asked - took, 0) : slot.out.pending;
    const isFull = pending > 0;
    const bell = isFull ? armed(slot, slot.out.bell) : atWork(slot.out.bell);
    return { wrote: slot.wrote + took, out: { ...slot.out, bell, pending, kernel: isFull ? "full" : "room" } };
  }

  function accept(slot, { data }) {
    const isConnection = data.result === "connection";
    const hasFailed = !isConnection && data.result !== "would_block";
    const changes = { hasFailed, retryAt: undefined, why: hasFailed ? data.result : undefined };
    if (data.result === "would_block") return { ...changes, in: emptied(slot) };
    return { ...changes, in: { ...slot.in, bell: atWork(slot.in.bell), level: isConnection ? "unknown" : "some", bytes: undefined } };
  }

  /** After a call said that there is nothing, the kernel rings for the next change, if it was asked to. */
  const armed = (slot, bell) => (slot.mode === undefined || bell === "none" || bell === "over" ? bell : "armed");

  /** The server looked without being rung for. What the call left is unknown until it proves the socket empty. */
  const atWork = (bell) => (bell === "spent" ? "rung" : bell);

  /** Only for TCP does a short read prove that the socket is empty. */
  const isTcp = (slot) => slot.peer === undefined || /^[\d.]+:\d+$|^\[[^\]]*\]:\d+$/.test(slot.peer);

  const closed = (slot) => ({ in: { ...slot.in, bell: "over" }, out: { ...slot.out, bell: "over" }, isQueued: false });

  /** What each event changes in the slot that it belongs to. */
  const RULES = {
    "reactor:registered": registered,
    "reactor:deregistered": (slot) => ({
      mode: undefined, in: { ...slot.in, bell: "none" }, out: { ...slot.out, bell: "none" },
    }),
    "reactor:ready": ready,
    "listener:accept": accept,
    "listener:failed": (_, { data, time }) => ({
      retryAt: Text.isCount(data.retry) ? time + data.retry : undefined, why: data.error,
    }),
    "connection:accepted": (_, { data }) => ({ peer: data.peer }),
    "connection:connected": (_, { data }) => ({ peer: data.peer }),
    "connection:proxied": (_, { data }) => ({ peer: data.peer }),
    "connection:refused": (slot, { data }) => ({ ...closed(slot), peer: data.peer, life: "refused", why: data.why }),
    "connection:header": read,
    "connection:read": read,
    "connection:received": read,
    "connection:write": write,
    "connection:sent": write,
    "connection:pending": (slot, { data }) => ({ out: { ...slot.out, pending: Text.isCount(data.bytes) ? data.bytes : 0 } }),
    "connection:blocked": (slot) => ({ out: { ...slot.out, bell: armed(slot, slot.out.bell), kernel: "full" } }),
    "connection:yielded": () => ({ isQueued: true }),
    "connection:shutdown": (slot) => ({ out: { ...slot.out, isShut: true } }),
    "connection:expired": (_, { data }) => ({ why: `${Text.foreign(data.timeout)} time-out` }),
    "connection:closed": (slot, { data }) => ({ ...closed(slot), life: "closed", why: data.why ?? slot.why }),
    "reactor:waits": (_, { data, trigger, thread }) => ({ isAsleep: true, timeout: data.timeout, trigger, thread }),
    "reactor:woke": (_, { data }) => ({ isAsleep: false, events: data.events, queued: data.queued }),
  };

  function kindOf(group) {
    return group.startsWith(Trace.LOOP) ? "loop" : group.startsWith("listener:") ? "listener" : "connection";
  }

  /** Each thread of an imported trace can have a loop of its own. */
  const laneOf = (event) =>
    event.group === Trace.LOOP && event.thread !== undefined ? `${Trace.LOOP} ${event.thread}` : event.group;

  /** Goes on by one event. Returns the slots that are new or changed, by their groups. */
  function apply(state, event) {
    const changed = new Map();
    const group = laneOf(event);
    const before = reborn(state.slots.get(group) ?? slotOf(group, kindOf(group)), event);
    put(state, changed, { ...before, ...changes(before, event), thread: event.thread });
    if (event.name === "reactor:waits" && isSleep(event)) fallAsleep(state, changed, event);
    return changed;
  }

  /** What an event changes. An event of a connection without a slot, such as a refusal, stands in the lane of the loop. */
  function changes(slot, event) {
    const isOfLoop = event.name === "reactor:waits" || event.name === "reactor:woke";
    const isKnown = Object.hasOwn(RULES, event.name) && isOfLoop === (slot.kind === "loop");
    return isKnown ? RULES[event.name](slot, event) : {};
  }

  /** An imported trace can use a number again. What begins then is another connection. */
  function reborn(slot, event) {
    const isNew = slot.life !== "open" && BEGINNINGS.has(event.name);
    return isNew ? slotOf(slot.group, slot.kind) : slot;
  }

  function put(state, changed, slot) {
    state.slots.set(slot.group, slot);
    changed.set(slot.group, slot);
    if (slot.in.bell === "rung" || slot.out.bell === "rung") state.rung.add(slot.group);
    else state.rung.delete(slot.group);
  }

  /** A wait that cannot block is no sleep: the loop has more to do, and asks for events in between. */
  const isSleep = ({ data, trigger }) => trigger !== "queue" && trigger !== "spin" && data.timeout !== 0;

  /** The loop sleeps: what rang and was not used up is spent, if it was an edge. After a failed accept, the end of a
   *  sleep with a limit is when the server can try again. */
  function fallAsleep(state, changed, { thread, time, data }) {
    for (const group of [...state.rung]) {
      const slot = state.slots.get(group);
      if (slot.isQueued || slot.thread !== thread) continue;
      const bell = slot.mode === "level" ? "armed" : "spent";
      const after = (way) => (way.bell === "rung" ? { ...way, bell } : way);
      const retryAt = slot.hasFailed && Text.isCount(data.timeout) ? time + data.timeout : slot.retryAt;
      put(state, changed, { ...slot, in: after(slot.in), out: after(slot.out), retryAt });
    }
  }

  return { fresh, apply, laneOf };
})();

// All that each slot ever was. A step back is a look-up, as a step forward is.
class History {
  /** Runs through all events once. */
  constructor(events) {
    this.lanes = new Map(); // group -> {group, at: [index of an event], slots: [what the slot was from then on]}
    const state = State.fresh();
    events.forEach((event, i) => {
      for (const slot of State.apply(state, event).values()) this.keep(i, slot);
    });
  }

  keep(index, slot) {
    let lane = this.lanes.get(slot.group);
    if (!lane) this.lanes.set(slot.group, (lane = { group: slot.group, kind: slot.kind, at: [], slots: [] }));
    lane.at.push(index);
    lane.slots.push(slot);
  }

  /** What the slot was after the event at `index`, or undefined if it did not exist yet. */
  slot(group, index) {
    const lane = this.lanes.get(group);
    return lane?.slots[History.version(lane, index)];
  }

  /** The last version of a lane that is not younger than `index`, or -1. */
  static version(lane, index) {
    return Trace.firstFrom(lane.at.length, (i) => lane.at[i] > index) - 1;
  }
}
