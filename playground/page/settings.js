"use strict";

// The settings: a slider for each size, and a box for each mistake.
const Settings = (() => {
  /** A slider goes from 2^low to 2^high bytes. The names stand in links; `setting` is the module's number. */
  const size = (setting, name, label, start) => ({ setting, name, label, start, low: 4, high: 16 });
  const GROUPS = [
    ["The kernel", [
      size(0, "receive-buffer", "Receive buffer", 4096),
      size(1, "send-buffer", "Send buffer", 4096),
    ]],
    ["The server", [size(2, "scratch", "Buffer that it reads into", 4096)]],
    ["The peer", [
      size(3, "message", "Sends, before it waits for the echo", 4096),
      size(4, "writes", "Sends at a time", 2048),
      size(5, "reads", "Reads at a time", 2048),
    ]],
  ];
  const SIZES = GROUPS.flatMap(([, sizes]) => sizes);
  const IS_PAUSED = 6;
  const IS_LEVEL = 7;
  const MISTAKES = 8;
  /** The bits of the module. The names are those of the servers in examples/zoo. */
  const BITS = [
    [1, "undrained-edge", "sleeps after one read, whether or not it has emptied the socket"],
    [2, "lost-tail", "takes a short write for a whole one"],
    [4, "sent-twice", "sends all of it again after a short write"],
    [8, "hang-up-first", "closes when the event says that the peer has ended, before it reads"],
    [16, "trusted-short-read", "takes a short read for an empty socket, even if the event says that the peer has ended"],
    [32, "stuck-back-pressure", "does not ask the kernel to ring for room"],
    [64, "always-writable", "asks for room even if nothing is pending (shows with levels)"],
  ];

  const { element } = Draw;

  function slider(of, change) {
    const input = element("input");
    Object.assign(input, { type: "range", id: of.name, min: of.low, max: of.high, step: 1 });
    const output = element("output");
    output.htmlFor = of.name;
    input.addEventListener("input", () => change(of.setting, 2 ** Number(input.value)));
    const label = element("label", "", of.label);
    label.htmlFor = of.name;
    return element("div", "size", label, input, output);
  }

  function box(id, text, change) {
    const input = element("input");
    Object.assign(input, { type: "checkbox", id });
    input.addEventListener("change", change);
    const label = element("label", "", input, " ", ...text);
    return element("div", "box", label);
  }

  const group = (legend, ...parts) => element("fieldset", "", element("legend", "", legend), ...parts);

  const isOn = (id) => document.getElementById(id).checked;

  /** Fills the form. `change(setting, value)` is called for each change. */
  function build(form, change) {
    const mistakes = () => change(MISTAKES, BITS.reduce((sum, [bit, name]) => sum + (isOn(name) ? bit : 0), 0));
    const level = box("level", ["Levels instead of edges: each wait reports what is ready"], () => change(IS_LEVEL, Number(isOn("level"))));
    const boxes = BITS.map(([, name, text]) => box(name, [element("b", "", name), `: ${text}`], mistakes));
    const groups = GROUPS.map(([legend, sizes]) => group(legend, ...sizes.map((of) => slider(of, change))));
    groups[0].append(level);
    form.append(...groups, group("Mistakes of the server", ...boxes));
  }

  /** Shows the values of all settings, by their numbers. */
  function show(values) {
    for (const of of SIZES) {
      const input = document.getElementById(of.name);
      input.value = Math.round(Math.log2(values[of.setting]));
      const text = Text.bytes(values[of.setting]);
      input.setAttribute("aria-valuetext", text);
      Draw.setText(input.nextElementSibling, text);
    }
    document.getElementById("level").checked = values[IS_LEVEL] === 1;
    for (const [bit, name] of BITS) document.getElementById(name).checked = (values[MISTAKES] & bit) !== 0;
  }

  /** The values that a page starts with. */
  const fresh = () => [...SIZES.map(({ start }) => start), 0, 0, 0];

  /** What the part of a link after `#` asks for: `scratch=1024&mistakes=lost-tail,sent-twice&level=1`. */
  function fromLink(hash) {
    const values = fresh();
    const asked = new URLSearchParams(hash.replace(/^#/, ""));
    for (const { setting, name, low, high } of SIZES) {
      const value = Number(asked.get(name));
      if (value > 0) values[setting] = 2 ** Math.min(Math.max(Math.round(Math.log2(value)), low), high);
    }
    const named = (asked.get("mistakes") ?? "").split(",");
    values[MISTAKES] = BITS.reduce((sum, [bit, name]) => sum + (named.includes(name) ? bit : 0), 0);
    values[IS_LEVEL] = Number(asked.get("level") === "1");
    values[IS_PAUSED] = Number(asked.get("paused") === "1");
    return values;
  }

  return { IS_PAUSED, build, show, fromLink };
})();
