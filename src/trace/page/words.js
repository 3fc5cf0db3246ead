"use strict";

// An event in words: what happened, and what follows from it.
const Words = (() => {
  const { bytes, plural, duration, foreign, isCount } = Text;

  /** The name of a slot at the begin of a sentence. */
  const named = (event) => (event.group === Trace.LOOP ? "The server" : foreign(event.group));

  const FLAGS = {
    readable: "there are bytes to read",
    writable: "there is room to write",
    read_closed: "the peer has ended",
    write_closed: "no more can be written",
    error: "the socket has an error",
    priority: "there is urgent data",
  };

  function ready(event) {
    if (event.trigger === "queue") return `${named(event)} comes from the ready queue: it had more to do in an earlier turn. The kernel reported nothing.`;
    const flags = Object.keys(FLAGS).filter((flag) => event.data[flag]).map((flag) => FLAGS[flag]);
    return `The kernel reports ${named(event)}: ${flags.join(", ") || "something has changed"}. An edge is reported once.`;
  }

  function waits({ data, trigger }) {
    if (trigger === "queue") return "The server asks for events without waiting, since connections are on the ready queue.";
    if (trigger === "spin") return "The server asks for events again and again, without sleeping.";
    if (isCount(data.timeout)) return `The server sleeps until an event comes, for ${duration(data.timeout)} at most.`;
    return "The server sleeps until an event comes.";
  }

  function woke({ data }) {
    const asleep = isCount(data.waited) && data.waited > 0 ? ` after ${duration(data.waited)}` : "";
    if (!data.events && !data.queued) return `The wait ends${asleep} without an event: a deadline has come.`;
    const queued = data.queued ? `, and ${plural(data.queued, "connection comes", "connections come")} from the ready queue` : "";
    return `The wait ends${asleep}: the kernel reports ${plural(data.events, "source", "sources")}${queued}.`;
  }

  function read(event) {
    const { asked, result } = event.data;
    const held = isCount(event.data.kernel?.receive_queue) ? ` The kernel held ${bytes(event.data.kernel.receive_queue)}.` : "";
    if (result === "would_block") return `${named(event)}: the read says would_block. The kernel has nothing left, and rings when something comes.${held}`;
    if (result === "end") return `${named(event)}: the read returns the end. The peer sends no more.${held}`;
    if (!isCount(result)) return `${named(event)}: the read fails: ${foreign(result)}.`;
    if (!isCount(asked)) return `${named(event)}: ${bytes(result)} received.${held}`;
    if (result < asked) return `${named(event)}: the read returns ${bytes(result)}, fewer than the ${bytes(asked)} that it asked for.${held}`;
    return `${named(event)}: the read returns all of the ${bytes(result)} that it asked for. There may be more: nothing says that the kernel is empty.${held}`;
  }

  function write(event) {
    const { asked, result } = event.data;
    if (result === "would_block") return `${named(event)}: the kernel took none of ${bytes(asked)}. Its buffer is full, and it rings when there is room.`;
    if (!isCount(result)) return `${named(event)}: the write fails: ${foreign(result)}.`;
    if (!isCount(asked)) return `${named(event)}: ${bytes(result)} sent.`;
    if (result < asked) return `${named(event)}: the kernel took ${Text.count(result)} of ${bytes(asked)}. The rest is kept, and reading stops until it is gone.`;
    return `${named(event)}: the kernel took all ${bytes(result)}.`;
  }

  function pending(event) {
    const { bytes: left } = event.data;
    if (left === 0) return `${named(event)}: nothing is pending any more. The buffer is freed, and reading goes on.`;
    return `${named(event)}: ${bytes(left)} are pending in the server's own buffer.`;
  }

  function accept({ group, data }) {
    if (data.result === "connection") return `A connection is taken from the accept queue of ${foreign(group)}. There may be more.`;
    if (data.result === "would_block") return "The accept queue is empty: the accept says would_block, and the kernel rings for the next connection.";
    return `Accepting fails: ${foreign(data.result)}.`;
  }

  function acceptFailed({ data }) {
    return `Accepting has failed (${foreign(data.error)}). No edge will come for what lies in the queue, so the server tries again in ${duration(data.retry)}.`;
  }

  function closed(event) {
    const { why, read: got, wrote, is_cut: isCut } = event.data;
    const lost = isCut ? " The peer did not get all of its echo." : "";
    const because = why === undefined || why === "closed" ? "" : `: ${foreign(why)}`;
    return `${named(event)} is closed${because}. It read ${bytes(got)} and wrote ${bytes(wrote)}.${lost}`;
  }

  const WHY_EXPIRED = {
    idle: "nothing came for too long",
    stalled: "the peer took nothing of what is pending for too long",
    lingering: "the peer did not end after the server had shut down writing",
    quiet: "the client was not named in time",
  };

  function expired(event) {
    const { timeout } = event.data;
    const why = Object.hasOwn(WHY_EXPIRED, timeout) ? `: ${WHY_EXPIRED[timeout]}` : "";
    return `${named(event)} has run into the ${foreign(timeout)} time-out${why}.`;
  }

  function ended({ data }) {
    const detail = data.detail === undefined ? "" : ` (${foreign(data.detail)})`;
    const why = { stopped: "The run stopped here", limit: "The trace has reached its limit; the run went on", error: "The trace could not be written further; the run went on" };
    return `${Object.hasOwn(why, data.why) ? why[data.why] : "The trace ends"}${detail}.`;
  }

  /** Each name of the format, and how to say it. */
  const SAY = {
    "server:listening": ({ data }) => `The server listens on ${foreign(data.at)}.`,
    "server:drain_delayed": () => "The server is asked to stop, and goes on accepting for the drain delay.",
    "server:draining": ({ data }) => `The server stops: it accepts no more, and finishes ${plural(data.connections, "connection", "connections")} within ${duration(data.timeout)}.`,
    "server:failed": ({ data }) => `The server fails: ${foreign(data.error)}.`,
    "reactor:waits": waits,
    "reactor:woke": woke,
    "reactor:registered": (event) => `${named(event)} is registered for ${foreign(event.data.interest)} (${event.data.mode === "level" ? "levels: the kernel rings as long as there is something" : "edges: the kernel rings once for each change"}).`,
    "reactor:deregistered": (event) => `${named(event)} is no longer registered: the kernel reports nothing about it.`,
    "reactor:ready": ready,
    "listener:accept": accept,
    "listener:failed": acceptFailed,
    "connection:accepted": (event) => `${named(event)} is the connection from ${foreign(event.data.peer)}.`,
    "connection:refused": (event) => `A connection from ${foreign(event.data.peer)} is refused: ${foreign(event.data.why)}.`,
    "connection:header": read,
    "connection:proxied": (event) => `${named(event)}: the proxy ${foreign(event.data.by)} names its client, ${foreign(event.data.peer)}.`,
    "connection:read": read,
    "connection:received": read,
    "connection:write": write,
    "connection:sent": write,
    "connection:pending": pending,
    "connection:blocked": (event) => `${named(event)} is blocked: ${bytes(event.data.pending)} wait for room, and nothing is read until they are gone. So TCP holds the peer back.`,
    "connection:yielded": (event) => `${named(event)} has used up its share of the turn. It goes on the ready queue, since no event will come for the rest.`,
    "connection:shutdown": (event) => `${named(event)}: this end shuts down writing. It can still read.`,
    "connection:expired": expired,
    "connection:closed": closed,
    "connection:connecting": (event) => `${named(event)} connects.`,
    "connection:connected": (event) => `${named(event)} is connected to ${foreign(event.data.peer)}.`,
    "case:began": ({ data }) => `The case ${foreign(data.id)} begins: ${foreign(data.title)}.`,
    "case:ended": ({ data }) => `The case ${foreign(data.id)} ends: ${foreign(data.verdict)}.${data.actual === undefined ? "" : ` ${foreign(data.actual)}`}`,
    "datagram:echoed": ({ data }) => `A datagram of ${bytes(data.bytes)} from ${foreign(data.peer)} is echoed.`,
    "datagram:dropped": ({ data }) => `A datagram from ${foreign(data.peer)} is dropped: ${foreign(data.why)}.`,
    "trace:end": ended,
  };

  /** One or two sentences. A name that the format does not have is shown as it is. */
  function of(event) {
    return Object.hasOwn(SAY, event.name) ? SAY[event.name](event) : `${named(event)}: ${foreign(event.name)}.`;
  }

  return { of };
})();
