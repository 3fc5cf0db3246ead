"use strict";

// One trace on the page: its cursor, its lanes, and the details of the event under the cursor.
const MOST_CARDS = 24;
const LINES_AROUND = 7;

class Run {
  /** `held` is what the page holds of a file. `onMove` is called when the cursor moves. */
  constructor(held, onMove) {
    this.trace = Trace.of(held);
    this.history = new History(this.trace.events);
    this.landmarks = Landmarks.of(this.trace, this.history);
    this.onMove = onMove;
    this.index = 0;
    this.isPredicting = false;
    this.asked = undefined; // The index of the event that a question is about.
    this.score = { right: 0, asked: 0 };
    this.stops = undefined; // Indexes of the events that the filter lets through; undefined for all.
    this.cards = new Map();
    this.place = null; // Of the source that is shown. An event without a place has undefined.
    this.element = document.getElementById("run").content.firstElementChild.cloneNode(true);
    this.part = (selector) => this.element.querySelector(selector);
    if (this.trace.events.length === 0) return;
    this.lanes = new Lanes(this.part(".lanes"), this.trace, this.history);
    this.describe();
    this.listen();
  }

  get last() {
    return this.trace.events.length - 1;
  }

  get event() {
    return this.trace.events[this.index];
  }

  describe() {
    const { header, file, note, isTruncated } = this.trace;
    Draw.setText(this.part("h2"), Text.foreign(header.title ?? file));
    Draw.setText(this.part(".facts"), facts(header, this.trace).join(" · "));
    const notes = [note, isTruncated && "This trace has no last record: it is truncated. The page shows what there is."];
    const text = notes.filter(Boolean).map(Text.foreign).join(" ");
    this.part(".note").hidden = text === "";
    Draw.setText(this.part(".note"), text);
    this.part(".scrub").max = this.last;
    this.part(".scrub").setAttribute("aria-label", `Event of ${Text.foreign(header.title ?? file)}`);
    this.part(".tour").hidden = this.trace.marks.length === 0;
  }

  listen() {
    this.part(".scrub").addEventListener("input", (e) => this.go(Number(e.target.value)));
    for (const button of this.element.querySelectorAll("[data-stop]")) {
      button.addEventListener("click", () => this.stop(Number(button.dataset.stop)));
    }
    this.part(".raw").addEventListener("toggle", () => this.showRecord());
    const box = this.part(".lanes");
    box.addEventListener("pointerdown", (e) => e.button === 0 && this.drag(e));
    box.addEventListener("pointermove", (e) => (e.buttons & 1 ? this.drag(e) : this.hint(e)));
    box.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
  }

  /** The cursor goes to where the mouse is. */
  drag(event) {
    const { left, width } = this.element.querySelector(".pin").getBoundingClientRect();
    if (event.clientX - left <= width) this.go(this.lanes.indexAt(event.clientX - left), false);
  }

  /** What the mouse is over. */
  hint(event) {
    const { left } = this.part(".pin").getBoundingClientRect();
    const index = this.lanes.indexAt(event.clientX - left);
    const isHidden = this.isPredicting && index > this.index;
    this.part(".lanes").title = isHidden ? "" : `${Text.count(this.trace.events[index].number)}: ${Words.of(this.trace.events[index])}`;
  }

  wheel(event) {
    if (!event.ctrlKey && !event.shiftKey) return;
    event.preventDefault();
    const { left } = this.part(".pin").getBoundingClientRect();
    const turned = event.deltaY || event.deltaX;
    const { from, to } = this.lanes.view;
    if (event.ctrlKey) this.lanes.zoom(turned > 0 ? 1.25 : 0.8, this.lanes.indexAt(event.clientX - left));
    else this.lanes.setView(from + Math.sign(turned) * (to - from) * 0.15, to + Math.sign(turned) * (to - from) * 0.15);
    this.onMove();
  }

  /** Moves the cursor. What was asked is dropped. */
  go(index, isRevealed = true) {
    this.index = Math.min(Math.max(index, 0), this.last);
    this.asked = undefined;
    this.say("");
    if (isRevealed) this.lanes.reveal(this.index);
    this.onMove();
  }

  /** One event on or back, past those that the filter hides. Before an event with a question, it stops and asks. */
  step(way) {
    const next = this.stops === undefined ? this.index + way : Landmarks.from(this.stops, this.index, way);
    if (next === undefined || next < 0 || next > this.last) return false;
    if (way > 0 && this.isPredicting && this.asked === undefined) {
      const question = this.questionUpTo(next);
      if (question !== undefined) return this.ask(question);
    }
    if (this.asked !== undefined && way > 0) this.reveal(undefined);
    else this.go(next);
    return true;
  }

  jump(kind, way) {
    const next = Landmarks.from(this.landmarks[kind], this.index, way);
    if (next !== undefined) this.go(next);
    return next !== undefined;
  }

  /** The next event of the connection under the cursor. */
  along(way) {
    const { at } = this.history.lanes.get(State.laneOf(this.event));
    const next = Landmarks.from(at, this.index, way);
    if (next !== undefined) this.go(next);
  }

  stop(way) {
    const next = Landmarks.from(this.trace.marks.map((mark) => mark.at), this.index, way);
    if (next !== undefined) this.go(next);
  }

  /** Shows the lanes of these connections only, and steps only to events of these names. */
  filter(which, names) {
    const word = which.trim().toLowerCase();
    const isMatch = (lane) => [lane.group, lane.slots.at(-1).peer ?? ""].some((text) => String(text).toLowerCase().includes(word));
    const exact = this.lanes.lanes.filter((lane) => lane.group === word);
    this.lanes.show(exact.length > 0 ? exact : this.lanes.lanes.filter(isMatch));
    const pinned = word === "" ? this.lanes.pinned : [];
    const groups = new Set([...pinned, ...this.lanes.shown].map((lane) => lane.group));
    const isAll = word === "" && names === undefined;
    const isStop = (event) => groups.has(State.laneOf(event)) && (names === undefined || names.has(event.name));
    this.stops = isAll ? undefined : this.trace.events.flatMap((event, i) => (isStop(event) ? [i] : []));
    this.lanes.measure();
    this.onMove();
  }

  setPredicting(isPredicting) {
    this.questions ??= Predict.of(this.trace);
    [this.isPredicting, this.asked] = [isPredicting, undefined];
    this.score = { right: 0, asked: 0 };
    this.say("");
    this.onMove();
  }

  /** The first event after the cursor, up to `next`, that has a question. */
  questionUpTo(next) {
    for (let i = this.index + 1; i <= next; i++) if (this.questions.has(i)) return i;
    return undefined;
  }

  /** Stops before the event at `index`, and asks. Returns that the cursor waits. */
  ask(index) {
    this.index = index - 1;
    this.asked = index;
    this.lanes.reveal(this.index);
    this.say("");
    this.showQuestion();
    this.onMove();
    return false;
  }

  /** Takes an answer, or none, and shows what happened. */
  reveal(answer) {
    const { right, options } = this.questions.get(this.asked);
    this.go(this.asked);
    if (answer === undefined) return;
    const isRight = answer === right;
    this.score.asked += 1;
    this.score.right += isRight ? 1 : 0;
    this.say(`${isRight ? "Right" : `No: ${options[right]}`}. ${this.score.right} of ${this.score.asked} right so far.`, isRight);
  }

  say(verdict, isRight = true) {
    Draw.setText(this.part(".verdict"), verdict);
    this.part(".verdict").dataset.right = isRight;
  }

  showQuestion() {
    const { intro, question, options } = this.questions.get(this.asked);
    Draw.setText(this.part(".intro"), intro ?? "");
    Draw.setText(this.part(".asked"), question);
    const answers = options.map((option, i) => this.answerButton(`${i + 1}. ${option}`, i));
    this.part(".options").replaceChildren(...answers, this.answerButton("Show me", undefined));
  }

  answerButton(words, answer) {
    const button = Draw.element("button", "", words);
    button.type = "button";
    button.addEventListener("click", () => {
      if (this.asked !== undefined) this.reveal(answer);
      this.part(".lanes").focus({ preventScroll: true });
    });
    return button;
  }

  answer(number) {
    if (this.asked !== undefined && number < this.questions.get(this.asked).options.length) this.reveal(number);
  }

  /** Draws one frame. */
  render() {
    this.lanes.paint(this.index, this.isPredicting);
    if (this.drawn === this.index && this.drawnAsked === this.asked) return;
    [this.drawn, this.drawnAsked] = [this.index, this.asked];
    showEvent(this);
    showTour(this);
    showCards(this);
    showPlace(this);
    this.showRecord();
  }

  showRecord() {
    if (this.part(".raw").open) Draw.setText(this.part(".raw pre"), JSON.stringify(this.event, null, 1).replace(/[\u202a-\u202e\u2066-\u2069]/g, Text.foreign));
  }
}

/** What the header says, in words. */
function facts(header, { events, file }) {
  const vantage = { server: "seen by the server", client: "seen by a client", "system-calls": "system calls" }[header.vantage];
  const program = [header.program, header.resound_version, header.commit && `(${header.commit})`].filter(Boolean).join(" ");
  const options = Object.entries(header.options ?? {}).map(([name, value]) => `${name} ${value}`);
  const length = Text.plural(events.length, "event", "events");
  return [header.title === undefined ? undefined : file, vantage, program, header.kernel, header.began, length, ...options].filter(Boolean).map(Text.foreign);
}
