"use strict";

// Questions to answer before an event is shown. The answer is what the trace says happened.
const Predict = (() => {
  const { bytes, count, isCount, foreign } = Text;
  /** If events of one kind go the same way again and again, the page asks before one of this many. */
  const SAME_AGAIN = 8;
  /** How many wrong sources stand beside the right one, and from how many events before it they come. */
  const OTHERS = 3;
  const RECENT = 60;

  /** A question of a tour, to answer in one's own words. */
  const OPEN = { question: "", options: [], right: -1 };

  const outcome = ({ data: { result, asked } }) =>
    result === "would_block" || result === "end" ? result : !isCount(result) ? "error" : result < asked ? "part" : "all";

  const READ = {
    all: (asked) => `all ${bytes(asked)} that it asks for`,
    part: () => "some bytes, but fewer than it asks for",
    would_block: () => "would_block: there is nothing to read now",
    end: () => "the end: the peer sends no more",
    error: () => "an error",
  };
  const WRITE = {
    all: (asked) => `the kernel takes all ${bytes(asked)}`,
    part: () => "the kernel takes a part",
    would_block: () => "would_block: the kernel takes nothing",
    error: () => "an error",
  };
  const ACCEPT = {
    connection: () => "a connection",
    would_block: () => "would_block: the queue is empty",
    error: () => "an error",
  };

  /** A question: its options in a fixed order, and the place of the right one. */
  function choice(question, words, right, asked) {
    const shown = Object.keys(words).filter((kind) => kind !== "error" || right === "error");
    return { question, options: shown.map((kind) => words[kind](asked)), right: shown.indexOf(right) };
  }

  function ofCall(event) {
    const { asked } = event.data;
    const who = foreign(event.group);
    switch (event.name) {
      case "connection:read":
        return choice(`${who} is read next, and asks for ${count(asked)} bytes. What does the read return?`, READ, outcome(event), asked);
      case "connection:write":
        return choice(`${bytes(asked)} are written to ${who} next. What happens?`, WRITE, outcome(event), asked);
      case "listener:accept": {
        const { result } = event.data;
        return choice("The listener accepts next. What does it get?", ACCEPT, Object.hasOwn(ACCEPT, result) ? result : "error");
      }
    }
  }

  /** Before a wait ends: who ends it? */
  function ofWait(events, i) {
    const { events: number, queued } = events[i].data;
    const next = events[i + 1];
    const isReported = number > 0 && next?.name === "reactor:ready";
    if (queued > 0 || (number > 0 && !isReported)) return undefined;
    const reported = isReported ? next.group : undefined;
    const others = recent(events, i).filter((group) => group !== reported).slice(0, OTHERS);
    const groups = reported === undefined ? others : [reported, ...others].sort();
    return {
      question: "The server sleeps. Who wakes it first?",
      options: [...groups.map(foreign), "nothing: a deadline comes"],
      right: reported === undefined ? groups.length : groups.indexOf(reported),
    };
  }

  /** Whether an event of this kind is worth a question: it goes another way than the one before, or it is its turn. */
  class Judge {
    constructor() {
      this.seen = new Map();
    }

    isTelling(kind, how) {
      const last = this.seen.get(kind);
      const again = last?.how === how ? last.again + 1 : 0;
      this.seen.set(kind, { how, again });
      return again % SAME_AGAIN === 0;
    }
  }

  /** The groups of the last events before `i`, without the loop. */
  function recent(events, i) {
    const groups = events.slice(Math.max(0, i - RECENT), i).map((event) => event.group);
    return [...new Set(groups.reverse())].filter((group) => group !== Trace.LOOP);
  }

  /** What is asked before each event: a map from indexes of events to questions. */
  function of({ events, marks }) {
    const questions = new Map();
    const judge = new Judge();
    events.forEach((event, i) => {
      const asked = ask(events, i);
      if (asked && judge.isTelling(event.name, asked.options[asked.right])) questions.set(i, asked);
    });
    for (const { at, question } of marks) {
      if (question !== undefined) questions.set(at, { ...(ask(events, at) ?? OPEN), intro: foreign(question) });
    }
    return questions;
  }

  const ask = (events, i) => (events[i].name === "reactor:woke" ? ofWait(events, i) : ofCall(events[i]));

  return { of };
})();
