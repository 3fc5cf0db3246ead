"use strict";

// Why a slot waits, and what would wake it.
const Why = (() => {
  /** `waits` and `wakes` are words. `isStuck` says that nothing will wake it. */
  const answer = (waits, wakes, isStuck = false) => ({ waits, wakes, isStuck });
  const stuck = (waits, wakes) => answer(waits, `Nothing will wake it: ${wakes}.`, true);

  const isWatched = (slot) => slot.mode !== undefined;
  const wantsToWrite = (slot) => slot.out.pending > 0 && !slot.out.isShut;
  const hasInput = (slot) => slot.in.level !== "none" || slot.in.end === "waits";

  /** Whether bytes or an end lie there, and no bell rings for them. Cheap: the lanes ask it for each version. */
  function isStuck(slot) {
    if (slot.kind === "loop" || slot.life !== "open" || !isWatched(slot) || slot.isQueued) return false;
    if (slot.retryAt !== undefined) return false;
    if (wantsToWrite(slot)) return slot.out.bell === "spent" || slot.out.bell === "none";
    return slot.in.bell === "spent" && hasInput(slot);
  }

  function of(slot) {
    if (slot.kind === "loop") return ofLoop(slot);
    if (slot.kind === "listener") return ofListener(slot);
    if (slot.life !== "open") return answer(`Is ${slot.life}${slot.why === undefined || slot.why === slot.life ? "" : `: ${Text.foreign(slot.why)}`}.`, "");
    if (slot.isQueued) return answer("Is on the ready queue: it had more to do.", "It goes on in the next turn, without an event.");
    if (!isWatched(slot)) return answer("The trace shows no poll that watches it.", "");
    return wantsToWrite(slot) ? ofPending(slot) : ofInput(slot);
  }

  function ofLoop(slot) {
    if (slot.isAsleep === undefined) return answer("Has not waited for events yet.", "");
    if (!slot.isAsleep) return answer("Is at work.", "");
    if (slot.trigger === "queue") return answer("Asks the kernel without waiting: the ready queue is not empty.", "");
    if (slot.trigger === "spin") return answer("Asks the kernel again and again, without sleeping.", "");
    const limit = Text.isCount(slot.timeout) ? `, or the time-out after ${Text.duration(slot.timeout)}` : "";
    return answer("Sleeps.", `An edge wakes it${limit}.`);
  }

  function ofListener(slot) {
    if (slot.retryAt !== undefined) {
      return answer(`Accepting failed: ${Text.foreign(slot.why)}.`, `It can try again at ${Text.moment(slot.retryAt)}, without an event.`);
    }
    if (isStuck(slot)) {
      return stuck("Connections may lie in the accept queue.", "their edge was reported, and no accept said would_block since");
    }
    if (!isWatched(slot)) return answer("The trace shows no poll that watches it.", "");
    if (slot.in.bell === "rung") return answer("The kernel reported connections: they are accepted in this turn.", "");
    return answer("Waits for connections.", "The kernel rings when the next one arrives.");
  }

  function ofPending(slot) {
    const pending = Text.bytes(slot.out.pending);
    const waits = `Waits for room: reading stops until the pending ${pending} are gone.`;
    switch (slot.out.bell) {
      case "spent":
        return stuck(waits, "there is room, and its edge was reported already");
      case "none":
        return stuck(waits, "the kernel was not asked to ring for room");
      case "rung":
        return answer(`The kernel reported room: the pending ${pending} are written in this turn.`, "");
      default:
        return answer(waits, "The kernel rings when the peer has taken some.");
    }
  }

  function ofInput(slot) {
    if (slot.in.end === "read") return answer("The peer has ended, and has all that was pending.", "It is closed next.");
    if (isStuck(slot)) return ofSpent(slot.in);
    if (slot.in.bell === "rung") return answer("The kernel reported bytes or an end: they are read in this turn.", "");
    if (slot.in.bell === "none") return answer("The kernel was not asked to ring for bytes.", "Another event must come first.");
    if (slot.out.isShut) return answer("Has shut down writing, and waits for the peer's end.", "The kernel rings when it comes, or the linger time-out ends it.");
    const wakes = slot.mode === "level" ? "The kernel rings as long as there are any." : "The kernel rings when the next arrive.";
    return answer("Waits for bytes.", wakes);
  }

  function ofSpent({ bytes, level, end }) {
    if (end === "waits") return stuck("The peer's end lies in the kernel.", "its edge was reported already");
    if (bytes > 0) return stuck(`${Text.bytes(bytes)} lie in the kernel.`, "their edge was reported already");
    const waits = level === "some" ? "Bytes lie in the kernel." : "Bytes may lie in the kernel: the last read took all that it asked for.";
    return stuck(waits, "the edge was reported, and no read said would_block since");
  }

  return { of, isStuck };
})();
