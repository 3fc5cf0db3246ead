"use strict";

// The small signs of events on a lane. Each kind has a shape of its own, so that the colours are not needed.
const Glyphs = (() => {
  const SIZE = 4;

  function triangle(context, x, y, way, isHollow) {
    context.beginPath();
    context.moveTo(x - SIZE, y - way * SIZE);
    context.lineTo(x + SIZE, y - way * SIZE);
    context.lineTo(x, y + way * SIZE);
    context.closePath();
    if (isHollow) context.stroke();
    else context.fill();
  }

  function cross(context, x, y) {
    context.beginPath();
    context.moveTo(x - SIZE, y - SIZE);
    context.lineTo(x + SIZE, y + SIZE);
    context.moveTo(x + SIZE, y - SIZE);
    context.lineTo(x - SIZE, y + SIZE);
    context.stroke();
  }

  function circle(context, x, y, isHollow) {
    context.beginPath();
    context.arc(x, y, SIZE - 0.5, 0, 2 * Math.PI);
    if (isHollow) context.stroke();
    else context.fill();
  }

  function diamond(context, x, y) {
    context.beginPath();
    for (const [dx, dy] of [[0, -1], [1, 0], [0, 1], [-1, 0]]) context.lineTo(x + dx * (SIZE + 1), y + dy * (SIZE + 1));
    context.closePath();
    context.fill();
  }

  const bar = (context, x, y) => context.fillRect(x - 1.5, y - 7, 3, 14);

  const isNone = ({ data }) => !(Text.isCount(data.result) && data.result > 0);

  /** What is drawn for each event: its strip (0 in, 1 out, 0.5 between), its colour and its shape. */
  const SHAPES = {
    "reactor:ready": { strip: 0, colour: "rung", draw: (c, x, y, event) => circle(c, x, y, event.trigger === "queue") },
    "listener:accept": { strip: 0, colour: "fill", draw: (c, x, y, event) => triangle(c, x, y, 1, event.data.result !== "connection") },
    "connection:accepted": { strip: 0.5, colour: "ink", draw: (c, x, y) => circle(c, x, y, true) },
    "connection:read": { strip: 0, colour: "fill", draw: (c, x, y, event) => triangle(c, x, y, 1, isNone(event)) },
    "connection:write": { strip: 1, colour: "pending", draw: (c, x, y, event) => triangle(c, x, y, -1, isNone(event)) },
    "connection:blocked": { strip: 1, colour: "stuck", draw: bar },
    "connection:yielded": { strip: 0.5, colour: "accent", draw: (c, x, y) => circle(c, x, y, true) },
    "connection:refused": { strip: 0.5, colour: "stuck", draw: cross },
    "connection:expired": { strip: 0.5, colour: "stuck", draw: diamond },
    "listener:failed": { strip: 0.5, colour: "stuck", draw: diamond },
    "connection:closed": { strip: 0.5, colour: "ink", draw: cross },
    "connection:shutdown": { strip: 1, colour: "ink", draw: bar },
  };
  SHAPES["connection:received"] = SHAPES["connection:read"];
  SHAPES["connection:sent"] = SHAPES["connection:write"];

  /** Draws the sign of an event at `x` of a lane whose strips have their middles at `strips`, if it has one. */
  function draw(context, colours, event, x, strips) {
    if (!Object.hasOwn(SHAPES, event.name)) return;
    const shape = SHAPES[event.name];
    const y = strips[0] + shape.strip * (strips[1] - strips[0]);
    context.fillStyle = context.strokeStyle = colours[shape.colour];
    context.lineWidth = 1.4;
    shape.draw(context, x, y, event);
  }

  return { draw };
})();
