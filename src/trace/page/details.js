"use strict";

// The details of the event under the cursor of a run.

function showEvent(run) {
  const { event, last, asked } = run;
  const where = [
    `Event ${Text.count(event.number)} (${Text.count(run.index + 1)} of ${Text.count(last + 1)})`,
    event.turn > 0 && `turn ${Text.count(event.turn)}`,
    Text.moment(event.time),
    Text.foreign(event.name),
    event.thread !== undefined && `thread ${Text.foreign(event.thread)}`,
    event.call !== undefined && Text.foreign(event.call),
  ];
  Draw.setText(run.part(".where"), where.filter(Boolean).join(" · "));
  Draw.setText(run.part(".words"), Words.of(event));
  run.part(".question").hidden = asked === undefined;
  const scrub = run.part(".scrub");
  scrub.value = run.index;
  scrub.setAttribute("aria-valuetext", `event ${event.number}`);
}

/** The stop of the tour that the cursor has reached. */
function showTour(run) {
  const { marks } = run.trace;
  if (marks.length === 0) return;
  const reached = Trace.firstFrom(marks.length, (i) => marks[i].at > run.index) - 1;
  const mark = marks[Math.max(reached, 0)];
  const isHere = mark.at === run.index;
  const title = reached < 0 ? `A tour of ${Text.plural(marks.length, "stop", "stops")}` : `Stop ${reached + 1} of ${marks.length}: ${Text.foreign(mark.title)}`;
  Draw.setText(run.part(".tour h3"), title);
  Draw.setText(run.part(".tour p"), reached < 0 ? "Press ] for the first stop." : longForeign(mark.text) + (isHere ? "" : " (The cursor has gone on.)"));
  run.part('[data-stop="-1"]').disabled = reached < 0 || (reached === 0 && isHere);
  run.part('[data-stop="1"]').disabled = reached === marks.length - 1;
}

/** The text of a stop, which is longer than other foreign words. */
function longForeign(text) {
  return String(text ?? "").split("\n").map((line) => (line.match(/.{1,200}/gsu) ?? []).map(Text.foreign).join("")).join("\n");
}

/** The slots that are worth a card: those that nothing will wake, the one at hand, and the first ones. */
function slotsToShow(run) {
  const here = State.laneOf(run.event);
  const open = [];
  for (const { group } of [...run.lanes.pinned, ...run.lanes.shown]) {
    const slot = run.history.slot(group, run.index);
    if (slot && (slot.life === "open" || group === here)) open.push(slot);
  }
  if (open.length <= MOST_CARDS) return { slots: open, more: 0 };
  const rank = (slot) => (slot.group === here ? 0 : Why.isStuck(slot) ? 1 : slot.kind !== "connection" ? 2 : slot.out.pending > 0 ? 3 : 4);
  const chosen = new Set(open.map((slot, i) => [rank(slot), i, slot]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).slice(0, MOST_CARDS).map((ranked) => ranked[2]));
  return { slots: open.filter((slot) => chosen.has(slot)), more: open.length - MOST_CARDS };
}

function showCards(run) {
  const { slots, more } = slotsToShow(run);
  const here = State.laneOf(run.event);
  const cards = slots.map((slot) => {
    const kept = run.cards.get(slot.group) ?? { card: new Draw.Card(), slot: undefined };
    run.cards.set(slot.group, kept);
    if (kept.slot !== slot) kept.card.show(slot, run.lanes.scale);
    kept.slot = slot;
    kept.card.element.classList.toggle("here", slot.group === here);
    return kept.card.element;
  });
  arrange(run.part(".cards"), cards);
  const kept = new Set(slots.map((slot) => slot.group));
  for (const group of run.cards.keys()) if (!kept.has(group)) run.cards.delete(group);
  Draw.setText(run.part(".more"), more > 0 ? `And ${Text.count(more)} more. Filter by connection to see one of them.` : "");
}

/** Makes `elements` the children of `box`, and touches only what is out of place. */
function arrange(box, elements) {
  elements.forEach((element, i) => {
    if (box.children[i] !== element) box.insertBefore(element, box.children[i] ?? null);
  });
  while (box.children.length > elements.length) box.lastElementChild.remove();
}

/** The lines of source around the place of the event. */
function showPlace(run) {
  const { place } = run.event;
  if (run.place === place) return;
  run.place = place;
  const [, file, line] = /^(.*):(\d+)$/.exec(place ?? "") ?? [];
  const text = run.trace.sources.get(file);
  const title = place === undefined ? "No source line is known for this event" : Text.foreign(place);
  Draw.setText(run.part(".place h3"), text === undefined && place !== undefined ? `${title} (the trace does not hold this file)` : title);
  run.part(".source").hidden = text === undefined;
  if (text !== undefined) run.part(".source").replaceChildren(...sourceLines(run, file, text, Number(line)));
}

function sourceLines(run, file, text, here) {
  run.files ??= new Map();
  if (!run.files.has(file)) run.files.set(file, text.split("\n"));
  const lines = run.files.get(file);
  const first = Math.max(1, here - LINES_AROUND);
  const shown = lines.slice(first - 1, here + LINES_AROUND);
  const indent = Math.min(...shown.filter((words) => words.trim()).map((words) => words.search(/[^ ]/)));
  return shown.map((words, i) => {
    const number = first + i;
    const line = Draw.element("span", number === here ? "here" : "", Draw.element("span", "number", String(number)), longForeign(words.slice(indent).replaceAll("\t", "    ")));
    if (number === here) line.setAttribute("aria-current", "true");
    return line;
  });
}
