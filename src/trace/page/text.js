"use strict";

// Numbers, times and foreign words as people read them.
const Text = (() => {
  const numbers = new Intl.NumberFormat("en");
  /** The longest foreign word that is shown, in characters. */
  const LONGEST = 200;
  /** What could hide, or reorder the text beside it. */
  const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]/gu;

  const isCount = (n) => typeof n === "number" && Number.isFinite(n) && n >= 0;

  const count = (n) => (isCount(n) ? numbers.format(n) : "an unknown number of");

  const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : many}`;

  const bytes = (n) => plural(n, "byte", "bytes");

  /** A duration, from microseconds. */
  function duration(us) {
    if (!isCount(us)) return "an unknown time";
    if (us < 1000) return `${Number(us.toPrecision(3))} µs`;
    if (us < 1e6) return `${Number((us / 1e3).toPrecision(3))} ms`;
    return `${numbers.format(Number((us / 1e6).toPrecision(4)))} s`;
  }

  /** A moment of the trace: as fine as a microsecond, however late it is. */
  const moment = (us) => `${numbers.format(Math.floor(us / 1e3))}.${String(Math.floor(us % 1e3)).padStart(3, "0")} ms`;

  const escape = (character) => `\\u{${character.codePointAt(0).toString(16)}}`;

  /** A word from the trace, which can be hostile. The page sets it as text, never as markup. */
  function foreign(word) {
    const text = typeof word === "string" ? word : word === undefined ? "?" : JSON.stringify(word);
    const short = text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
    return short.replace(INVISIBLE, escape);
  }

  return { isCount, count, plural, bytes, duration, moment, foreign };
})();
