"use strict";

// Draws the connection: the peer, the send buffer, the server's slot, the words and the source.
const View = (() => {
  const { element, setText } = Draw;
  const WORDS = 12;
  const LINES = 5;

  /** What the peer did. It has no names in the format of traces. */
  const PEER = {
    "peer:sent": ({ bytes }) => `The peer sends ${Text.bytes(bytes)}.`,
    "peer:received": ({ bytes }) => `The peer reads ${Text.bytes(bytes)} of its echo.`,
    "peer:ended": () => "The peer shuts down writing: its end of file arrives.",
    "peer:cut": () => "The wire is cut: both ends see a reset.",
    "peer:closed": () => "The peer reads the server's end of file, and closes.",
    "peer:reset": () => "The peer's next call fails: the connection was reset.",
  };

  /** A trace is of a server that keeps the rest of a short write. This one can lose it. */
  function shortWrite({ group, name, data: { asked, result } }) {
    const isShort = name === "connection:write" && Text.isCount(result) && result < asked;
    return isShort ? `${group}: the kernel took ${Text.count(result)} of ${Text.bytes(asked)}.` : undefined;
  }

  const words = (event) => (Object.hasOwn(PEER, event.name) ? PEER[event.name](event.data) : shortWrite(event) ?? Words.of(event));

  const byId = (id) => document.getElementById(id);

  let card, send;

  function build() {
    card = new Draw.Card();
    byId("server").append(card.element);
    send = { fill: element("i"), amount: element("span", "amount") };
    byId("kernel").append(element("div", "way out", element("span", "name", "send"), element("span", "gauge", send.fill), send.amount));
  }

  function show(world, derived, last) {
    const { state } = world;
    showPeer(state);
    send.fill.style.width = `${Math.round(Math.min(state.out.held / state.out.size, 1) * 100)}%`;
    setText(send.amount, `${Text.count(state.out.held)} of ${Text.bytes(state.out.size)}, on the way to the peer`);
    showServer(state, derived);
    if (last) showSource(last);
  }

  function showPeer({ peer, sent, received }) {
    const card = byId("peer");
    card.classList.toggle("stuck", peer.is_bad);
    setText(card.querySelector(".waits"), peer.waits);
    setText(card.querySelector(".wakes"), peer.wakes);
    setText(byId("totals"), `sent ${Text.count(sent)} · received ${Text.count(received)}`);
  }

  /** What the trace proves, and what the model knows besides: all that lies in the kernel. */
  function slotOf(state, derived) {
    const { held, bell } = state.in;
    const end = derived.in.end === "read" ? "read" : state.is_ended ? "waits" : "no";
    const isFull = state.out.held >= state.out.size;
    return {
      ...derived,
      in: { bell, bytes: held, level: held > 0 ? "some" : "none", end },
      out: { ...derived.out, bell: state.out.bell, pending: state.pending, kernel: isFull ? "full" : "room" },
    };
  }

  function showServer(state, derived) {
    card.show(slotOf(state, derived), state.in.size);
    setText(card.title, "Server");
    setText(card.peer, "");
    setText(card.waits, state.server.waits);
    setText(card.wakes, state.server.wakes);
    card.element.classList.toggle("stuck", state.server.is_bad);
  }

  /** Adds what happened, newest first. Each line leads to its source. */
  function tell(events) {
    const list = byId("words");
    list.prepend(...events.slice(-WORDS).map(line).reverse());
    while (list.children.length > WORDS) list.lastChild.remove();
  }

  function line(event) {
    if (!hasSource(event)) return element("li", event.name.startsWith("peer:") ? "of-peer" : "", words(event));
    const button = element("button", "line", words(event));
    button.type = "button";
    button.addEventListener("click", () => showSource(event));
    return element("li", "", button);
  }

  function silence() {
    byId("words").replaceChildren();
    byId("lines").replaceChildren();
    setText(byId("place"), "No call yet.");
  }

  const sourceOf = (place) => document.querySelector(`script[data-file="${place.split(":")[0]}"]`);

  /** Whether the page has the file of the line that did this. */
  const hasSource = ({ place }) => place !== undefined && sourceOf(place) !== null;

  const isOfConnection = ({ place }) => place !== undefined && place.startsWith("src/conn.rs:");

  function showSource({ place }) {
    const [source, number] = [sourceOf(place), Number(place.split(":")[1])];
    setText(byId("place"), place);
    const lines = source.textContent.trimStart().split("\n");
    const from = Math.max(number - 1 - LINES, 0);
    const shown = lines.slice(from, from + 2 * LINES + 1).map((line, i) => {
      const at = from + i + 1;
      return element(at === number ? "mark" : "span", "", `${String(at).padStart(4)}  ${line}\n`);
    });
    byId("lines").replaceChildren(...shown);
  }

  return { build, show, tell, silence, isOfConnection };
})();
