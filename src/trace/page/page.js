"use strict";

// The page: finds its traces, and connects buttons, keys and the address to them.
const Page = (() => {
  const byId = (id) => document.getElementById(id);
  const runs = [];
  let active;
  let playing; // {since, due}: when the last frame was, and the events that are due.

  function load() {
    for (const script of document.querySelectorAll("script.trace")) runs.push(new Run(JSON.parse(script.textContent), redraw));
    const shown = runs.filter((run) => run.trace.events.length > 0);
    byId("nothing").hidden = shown.length > 0;
    runs.splice(0, runs.length, ...shown);
    if (runs.length === 0) return;
    for (const run of runs) {
      byId("runs").append(run.element);
      run.element.addEventListener("pointerdown", () => activate(run));
      run.element.addEventListener("focusin", () => activate(run));
    }
    byId("runs").classList.toggle("two", runs.length > 1);
    byId("both").hidden = runs.length < 2;
    activate(runs[0]);
    offerLandmarks();
    offerKinds();
    legend();
    measure();
    readAddress();
    listen();
  }

  function activate(run) {
    active = run;
    for (const each of runs) each.element.classList.toggle("active", runs.length > 1 && each === run);
  }

  /** The runs that a control moves. */
  const moved = () => (isPressed("both") && runs.length > 1 ? runs : [active]);

  const isPressed = (id) => byId(id).getAttribute("aria-pressed") === "true";

  function toggle(id) {
    byId(id).setAttribute("aria-pressed", String(!isPressed(id)));
    return isPressed(id);
  }

  function measure() {
    for (const run of runs) run.lanes.measure();
    redraw();
  }

  let frame;
  let addressTimer;

  /** Draws in the next frame, once however often it is called. */
  function redraw() {
    frame ??= requestAnimationFrame((now) => {
      frame = undefined;
      if (playing) advance(now);
      for (const run of runs) run.render();
    });
    clearTimeout(addressTimer);
    addressTimer = setTimeout(writeAddress, 300);
  }

  /** Plays the events that are due since the last frame. */
  function advance(now) {
    playing.due += (Math.min(now - playing.since, 250) / 1000) * Number(byId("speed").value);
    playing.since = now;
    for (; playing && playing.due >= 1; playing.due--) {
      const hasMoved = moved().map((run) => run.step(1)).some(Boolean);
      if (!hasMoved || runs.some((run) => run.asked !== undefined)) pause();
    }
    if (playing) redraw();
  }

  function play() {
    playing = { since: performance.now(), due: 1 };
    setPlaying(true);
    redraw();
  }

  function pause() {
    playing = undefined;
    setPlaying(false);
  }

  /** While it plays, a screen reader could not keep up. */
  function setPlaying(isPlaying) {
    byId("play").textContent = isPlaying ? "Pause" : "Play";
    for (const run of runs) run.part(".words").setAttribute("aria-live", isPlaying ? "off" : "polite");
  }

  const each = (act) => () => {
    pause();
    moved().forEach(act);
  };

  const jump = (way) => each((run) => run.jump(byId("landmark").value, way));

  /** What the controls do. */
  const ACTIONS = {
    first: each((run) => run.go(0)),
    last: each((run) => run.go(run.last)),
    step: each((run) => run.step(1)),
    back: each((run) => run.step(-1)),
    play: () => (playing ? pause() : play()),
    jump: jump(1),
    "jump-back": jump(-1),
    stop: each((run) => run.stop(1)),
    "stop-back": each((run) => run.stop(-1)),
    along: each((run) => run.along(1)),
    "along-back": each((run) => run.along(-1)),
    axis: () => {
      const isByTime = toggle("axis");
      for (const run of runs) run.lanes.setAxis(isByTime, run.index);
      redraw();
    },
    in: each((run) => zoom(run, 0.5)),
    out: each((run) => zoom(run, 2)),
    fit: each((run) => zoom(run, Infinity)),
    predict: () => {
      const isPredicting = toggle("predict");
      for (const run of runs) run.setPredicting(isPredicting);
    },
    both: () => runs.length > 1 && toggle("both"),
    help: () => (byId("help").open ? byId("help").close() : byId("help").showModal()),
    filter: () => {
      document.querySelector(".filter").open = true;
      byId("which").focus();
    },
  };

  function zoom(run, factor) {
    if (factor === Infinity) run.lanes.fit();
    else run.lanes.zoom(factor, run.index);
    redraw();
  }

  const KEYS = {
    ArrowRight: "step", ArrowLeft: "back", " ": "play", Home: "first", End: "last", j: "jump", J: "jump-back",
    "]": "stop", "[": "stop-back", c: "along", C: "along-back", "+": "in", "=": "in", "-": "out", 0: "fit",
    a: "axis", p: "predict", b: "both", "/": "filter", "?": "help",
  };

  function onKey(event) {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
    if (target.matches("select, input:not(.scrub)")) return;
    if (key === " " && target.matches("button, summary")) return;
    if (/^[1-9]$/.test(key)) moved().forEach((run) => run.answer(Number(key) - 1));
    if (!Object.hasOwn(KEYS, key)) return;
    event.preventDefault();
    ACTIONS[KEYS[key]]();
  }

  function listen() {
    for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", ACTIONS[button.dataset.do]);
    document.addEventListener("keydown", onKey);
    addEventListener("hashchange", readAddress);
    new ResizeObserver(measure).observe(byId("runs"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", measure);
    byId("which").addEventListener("input", filter);
    byId("kinds").addEventListener("change", filter);
  }

  /** `#e=1234` is the event of the first trace, `&f=56` that of the second. */
  function readAddress() {
    const address = new URLSearchParams(location.hash.slice(1));
    ["e", "f"].forEach((key, i) => {
      const number = Number(address.get(key) ?? NaN);
      if (runs[i] && Number.isFinite(number)) runs[i].go(Trace.indexOf(runs[i].trace, number));
    });
  }

  function writeAddress() {
    if (playing) return;
    const address = runs.map((run, i) => `${"ef"[i]}=${run.event.number}`).join("&");
    if (location.hash !== `#${address}`) history.replaceState(null, "", `#${address}`);
  }

  function offerLandmarks() {
    for (const [kind, { title }] of Object.entries(Landmarks.KINDS)) {
      const found = runs.reduce((sum, run) => sum + run.landmarks[kind].length, 0);
      const option = Draw.element("option", "", `${title} (${Text.count(found)})`);
      option.value = kind;
      byId("landmark").append(option);
    }
    const first = Object.keys(Landmarks.KINDS).find((kind) => runs.some((run) => run.landmarks[kind].length > 0));
    if (first) byId("landmark").value = first;
  }

  /** A box to tick for each name of an event that there is. */
  function offerKinds() {
    const names = new Set(runs.flatMap((run) => run.trace.events.map((event) => event.name)));
    for (const name of [...names].sort().slice(0, 60)) {
      const box = document.createElement("input");
      [box.type, box.checked, box.value] = ["checkbox", true, name];
      byId("kinds").append(Draw.element("label", "", box, ` ${Text.foreign(name)}`));
    }
  }

  function filter() {
    const boxes = [...byId("kinds").querySelectorAll("input")];
    const names = boxes.every((box) => box.checked) ? undefined : new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    for (const run of runs) run.filter(byId("which").value, names);
  }

  function legend() {
    const words = {
      armed: "Armed: the kernel rings when there is something new.",
      rung: "Rung: the kernel reported something, and the server is using it.",
      spent: "Spent: the kernel reported something, the server did not use it up, and now it sleeps. The kernel does not ring again for what is already there.",
      idle: "Rung, and nothing lies there: it does not matter.",
      none: "The kernel was not asked to ring, or there is nothing more to ring for.",
    };
    for (const [bell, meaning] of Object.entries(words)) {
      byId("legend").append(Draw.element("dt", "", Draw.bell(bell)), Draw.element("dd", "", meaning));
    }
    byId("legend").append(Draw.element("dt", "", "▼ ▲"), Draw.element("dd", "", "A read, a write. Hollow: it said would_block, the end or an error."));
    byId("legend").append(Draw.element("dt", "", "● ○"), Draw.element("dd", "", "An event of the kernel; one from the ready queue, accepted, or yielded."));
  }

  load();
  return { runs, actions: ACTIONS };
})();
