"use strict";

// Joins the module, the settings and the drawing, and runs them.
const Play = (() => {
  /** Links that set a stage. The question comes first; the steps give the answer. */
  const SCENARIOS = [
    ["#", "No mistake. When does the server sleep, and with which bell?"],
    ["#scratch=1024&writes=4096&mistakes=undrained-edge", "It reads once for each edge, into a small buffer. Who wakes it for the rest?"],
    ["#scratch=1024&writes=4096&mistakes=undrained-edge&level=1", "The same mistake with levels. Why does it do no harm?"],
    ["#send-buffer=1024&mistakes=lost-tail&message=2048", "The kernel takes a part of a write, and the rest is forgotten. Who notices, and when?"],
    ["#send-buffer=1024&reads=64&message=16384", "A slow peer, no mistake. How much can be pending, and what holds the peer back?"],
    ["#send-buffer=1024&reads=64&message=16384&mistakes=stuck-back-pressure", "The same, but the server does not ask for room. Where does it stop?"],
    ["#message=8192&mistakes=trusted-short-read", "Step until the peer has sent something, then shut down its writing. Does the server see the end?"],
    ["#send-buffer=1024&reads=64&mistakes=hang-up-first", "Step until the server sleeps, then shut down the peer's writing. What becomes of the echo?"],
    ["#level=1&paused=1&message=1024&mistakes=always-writable", "Levels, and room asked for always. What does each turn achieve?"],
  ];

  const byId = (id) => document.getElementById(id);
  const world = new World(byId("wasm").textContent);
  let values, derived, timer;

  /** A new connection with the settings of the link. */
  function begin() {
    values = Settings.fromLink(location.hash);
    connect();
  }

  /** A new connection with the settings as they are. */
  const connect = () => restart(values.map((value, setting) => ({ setting, value })));

  /** Derives all from the first record. */
  function restart(inputs) {
    derived = State.fresh();
    View.silence();
    refresh(world.begin(inputs));
  }

  /** Takes new records, and draws. */
  function refresh(lines) {
    const records = lines.map((line) => JSON.parse(line)).filter(({ schema }) => schema === undefined);
    const events = records.map((record, i) => Trace.event(record, i));
    for (const event of events) State.apply(derived, event);
    View.tell(events);
    View.show(world, derived.slots.get("#1"), events.findLast(View.isOfConnection));
    Settings.show(values);
    press("pause", values[Settings.IS_PAUSED] === 1);
  }

  function set(setting, value) {
    values[setting] = value;
    refresh(world.do({ setting, value }));
  }

  function act(name) {
    refresh(world.do({ action: World.ACTIONS.indexOf(name) }));
  }

  /** The settings can have changed since the last action: they are what the remembered inputs say. */
  function back() {
    const inputs = world.inputsBefore();
    if (!inputs) return;
    for (const { setting, value } of inputs) if (setting !== undefined) values[setting] = value;
    restart(inputs);
  }

  const press = (id, isPressed) => byId(id).setAttribute("aria-pressed", String(isPressed));

  function run(isRunning) {
    clearInterval(timer);
    timer = isRunning ? setInterval(() => act("step"), 1000 / Number(byId("speed").value)) : undefined;
    press("run", isRunning);
  }

  const toggle = () => run(timer === undefined);

  function save() {
    const link = Draw.element("a");
    link.href = URL.createObjectURL(new Blob([world.trace()], { type: "application/jsonl" }));
    link.download = "playground.jsonl";
    link.click();
    URL.revokeObjectURL(link.href);
  }

  const CLICKS = {
    step: () => act("step"), back, run: toggle, anew: connect, save,
    pause: () => set(Settings.IS_PAUSED, 1 - values[Settings.IS_PAUSED]),
    end: () => act("end"), cut: () => act("cut"), finish: () => act("finish"),
  };
  const KEYS = { ArrowRight: CLICKS.step, ArrowLeft: back, " ": toggle };

  function keyDown(event) {
    // A button that has the focus takes the space itself.
    const isTaken = event.target.matches(event.key === " " ? "button, input, a" : "input, pre");
    const isOther = event.ctrlKey || event.metaKey || event.altKey;
    if (isTaken || isOther || !Object.hasOwn(KEYS, event.key)) return;
    event.preventDefault();
    KEYS[event.key]();
  }

  function scenario([link, question]) {
    const made = Draw.element("a", "", question);
    made.href = link;
    // A link to where the page is already changes nothing by itself.
    made.addEventListener("click", () => made.hash === location.hash && begin());
    return Draw.element("li", "", made);
  }

  View.build();
  Settings.build(byId("settings"), set);
  byId("scenarios").append(...SCENARIOS.map(scenario));
  for (const [id, click] of Object.entries(CLICKS)) byId(id).addEventListener("click", click);
  byId("speed").addEventListener("input", () => timer !== undefined && run(true));
  document.addEventListener("keydown", keyDown);
  addEventListener("hashchange", begin);
  begin();

  return { world, act, back };
})();
