"""Looks at pages of traces in a real browser, without a network. usage: page.py CHECK PAGE"""

import importlib.util
import pathlib
import re
import sys

from playwright.sync_api import sync_playwright

CHROMIUM = "/usr/bin/chromium"
# Texts, and what decides how gauges and bells look, without the order in which classes were set.
SHOWN = """[...document.querySelectorAll('.event, .event *, .cards *, .place *')].filter((part) => part.checkVisibility()).map((part) => [
  part.children.length ? '' : part.textContent, [...part.classList].sort().join(), part.dataset.bell, part.dataset.level, part.style.width, part.hidden,
].join('|')).join('\\n')"""
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 400, "height": 800}


class Page:
    """A page that is open, and what went wrong on it."""

    def __init__(self, browser, url, viewport=WIDE, scheme="light"):
        self.context = browser.new_context(viewport=viewport, color_scheme=scheme, offline=True)
        self.page = self.context.new_page()
        self.troubles, self.requests = [], []
        self.page.on("console", lambda message: self.troubles.append(message.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(url)
        self.until("typeof Page !== 'undefined'")

    def run(self, script, argument=None):
        return self.page.evaluate(script, argument)

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)
        self.drawn()

    def drawn(self):
        """Waits until the page has drawn what it must."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def until(self, script):
        """Waits for something on the page. The page's policy keeps Playwright from waiting there by itself."""
        for _ in range(1000):
            if self.run(script):
                return
            self.drawn()
        raise AssertionError(f"never: {script}")

    def go(self, number, run=0):
        self.run("([run, number]) => Page.runs[run].go(Trace.indexOf(Page.runs[run].trace, number))", [run, number])
        self.drawn()

    def number(self, run=0):
        return self.run("(run) => Page.runs[run].event.number", run)

    def text(self, selector, nth=0):
        return re.sub(r"\s+", " ", self.page.locator(selector).nth(nth).inner_text()).strip()

    def card(self, group):
        """What the card of a slot says, or None if it has none."""
        for card in self.page.locator(".slot").all():
            if card.locator("b").inner_text() == group:
                bells = card.locator(".way:not([hidden]) .bell").evaluate_all("all => all.map((bell) => bell.dataset.bell)")
                text = re.sub(r"\s+", " ", card.inner_text())
                return {"text": text, "bells": bells, "stuck": "stuck" in card.get_attribute("class").split()}
        return None

    def shown(self):
        """All that the page says of the event under the cursor."""
        return self.run(SHOWN)


def same(actual, expected, what=""):
    assert actual == expected, f"{what}: {actual!r} is not {expected!r}"


def loads_offline(browser, url):
    page = Page(browser, url)
    page.press("ArrowRight", "ArrowRight", "j", "p", "ArrowRight", "1", "?", "Escape", "a", "0", "End")
    same(page.troubles, [], "console")
    same([asked for asked in page.requests if asked.split("#")[0] != url], [], "requests")
    assert "made by hand" in page.text("h2")


def steps_both_ways(browser, url):
    page = Page(browser, url)
    page.press("ArrowRight", "ArrowLeft")
    forwards = [page.shown()]
    for _ in range(page.run("Page.runs[0].last")):
        page.run("Page.runs[0].step(1); Page.runs[0].render()")
        forwards.append(page.shown())
    assert len(set(forwards)) == len(forwards), "two events look the same"
    for expected in reversed(forwards[:-1]):
        page.run("Page.runs[0].step(-1); Page.runs[0].render()")
        same(page.shown(), expected, f"back at {page.number()}")
    for index in [40, 3, 20, 48, 0]:
        page.run("(index) => { Page.runs[0].go(index); Page.runs[0].render(); }", index)
        same(page.shown(), forwards[index], f"straight to {index}")
    page.press("ArrowRight", "ArrowRight", "ArrowLeft")
    same(page.shown(), forwards[1], "by keys")


# After an event: the slot, what its card says, its bells, and whether nothing will wake it.
STATES = [
    (4, "listener:127.0.0.1:7007", "The kernel rings when the next one arrives", ["armed"], False),
    (6, "listener:127.0.0.1:7007", "accepted in this turn", ["rung"], False),
    (13, "listener:127.0.0.1:7007", "queue: empty", ["armed"], False),
    (14, "#1", "Waits for bytes", ["armed", "armed"], False),
    (16, "#1", "they are read in this turn", ["rung", "rung"], False),
    (17, "#1", "34,464 bytes", ["rung", "rung"], False),
    (19, "#1", "reading stops until the pending 63,232 bytes are gone", ["rung", "armed"], False),
    (21, "#1", "Is on the ready queue", ["rung", "armed"], False),
    (26, "#1", "63,232 pending, kernel full", ["rung", "armed"], False),
    (27, "#1", "The kernel rings when the peer has taken some", ["spent", "armed"], False),
    (30, "#1", "0 pending, kernel has room", ["rung", "rung"], False),
    (35, "#2", "kernel: nothing and the end", ["rung", "rung"], False),
    (38, "#1", "Nothing will wake it: the edge was reported", ["spent", "idle"], True),
    (38, "#2", "The peer's end lies in the kernel. Nothing will wake it", ["spent", "idle"], True),
    (39, "#1", "Nothing will wake it", ["spent", "idle"], True),
    (41, "#1", "Waits for bytes. The kernel rings when the next arrive", ["armed", "rung"], False),
    (47, "#2", "Is closed: idle timeout", ["over", "over"], False),
    (48, "listener:127.0.0.1:7007", "Accepting failed: too many open files. It can try again at", ["armed"], False),
    (49, "#1", "the end was read", ["over", "idle"], False),
]


def knows_states(browser, url):
    page = Page(browser, url)
    for number, group, words, bells, is_stuck in STATES:
        page.go(number)
        card = page.card(group)
        where = f"event {number}, {group}"
        assert card and words in card["text"], f"{where}: {words!r} is not in {card}"
        same((card["bells"], card["stuck"]), (bells, is_stuck), where)
    page.go(4)
    same(page.card("#1"), None, "a slot before it is there")
    page.go(48)
    same(page.card("#2"), None, "a slot after it is closed")


# Short runs of one slot: what happened, and the bells and whether nothing will wake it after that. Each line begins
# with a connection from an IPv4 address that is registered for edges of both kinds.
EDGES = [("reactor:registered", {"interest": "readable writable", "mode": "edge"}), ("connection:accepted", {"peer": "127.0.0.1:9"})]
READY, ROOM = ("reactor:ready", {"readable": True}), ("reactor:ready", {"writable": True})
FULL_READ, SHORT_READ = ("connection:read", {"asked": 8, "result": 8}), ("connection:read", {"asked": 8, "result": 3})
SHORT_WRITE = ("connection:write", {"asked": 8, "result": 3})
SLEEP, POLL = ("reactor:waits", {"timeout": None}), ("reactor:waits", {"timeout": 0})
ACCEPT = ("listener:accept", {"result": "connection"})
BELLS = [
    ("registered", EDGES, "armed armed False"),
    ("an edge that was not used", EDGES + [READY, SLEEP], "spent armed True"),
    ("an edge that was not drained", EDGES + [READY, FULL_READ, SLEEP], "spent armed True"),
    ("a short read of TCP", EDGES + [READY, SHORT_READ, SLEEP], "armed armed False"),
    ("a wait that cannot block", EDGES + [READY, FULL_READ, POLL], "rung armed False"),
    ("the other thread sleeps", EDGES + [READY, FULL_READ, ("reactor:waits", {"timeout": None}, 7)], "rung armed False"),
    ("a short read before the end", EDGES + [("reactor:ready", {"readable": True, "read_closed": True}), SHORT_READ, SLEEP], "spent armed True"),
    ("a short read before urgent data", EDGES + [("reactor:ready", {"readable": True, "priority": True}), SHORT_READ], "rung armed False"),
    ("a short read of a Unix socket", EDGES + [("connection:proxied", {"peer": "unix:/x"}), READY, SHORT_READ], "rung armed False"),
    ("a sleep after that", EDGES + [("connection:proxied", {"peer": "unix:/x"}), READY, SHORT_READ, SLEEP], "spent armed False"),
    ("would_block after all", EDGES + [READY, FULL_READ, ("connection:read", {"asked": 8, "result": "would_block"}), SLEEP], "armed armed False"),
    ("a look after the bell was spent", EDGES + [READY, FULL_READ, SLEEP, FULL_READ], "rung armed False"),
    ("a failed read", EDGES + [READY, ("connection:read", {"asked": 8, "result": "reset"}), SLEEP], "over armed False"),
    ("levels", [("reactor:registered", {"interest": "readable", "mode": "level"}), READY, FULL_READ, SLEEP], "armed none False"),
    ("levels without interest in room", [("reactor:registered", {"interest": "readable", "mode": "level"}), SHORT_WRITE, SLEEP], "armed none True"),
    ("a short write", EDGES + [ROOM, SHORT_WRITE, SLEEP], "armed armed False"),
    ("room that was not used", EDGES + [SHORT_WRITE, ROOM, SLEEP], "armed spent True"),
    ("room that nothing needs", EDGES + [ROOM, SLEEP], "armed spent False"),
    ("bytes that back-pressure leaves", EDGES + [READY, FULL_READ, SHORT_WRITE, SLEEP], "spent armed False"),
    ("the ready queue", EDGES + [READY, FULL_READ, ("connection:yielded", {}), SLEEP], "rung armed False"),
    ("an event before its place in the queue", EDGES + [("connection:yielded", {}), READY, SLEEP], "spent armed True"),
    ("no poll", [("connection:accepted", {"peer": "127.0.0.1:9"}), FULL_READ, SLEEP], "none none False"),
    ("deregistered", EDGES + [READY, ("reactor:deregistered", {}), SLEEP], "none none False"),
    ("closed", EDGES + [READY, ("connection:closed", {"why": "x"}), SLEEP], "over over False"),
    ("another connection of that number", EDGES + [("connection:closed", {"why": "x"})] + EDGES + [READY, SLEEP], "spent armed True"),
    ("shut down with a lost tail", EDGES + [SHORT_WRITE, ("connection:shutdown", {}), ROOM, SLEEP], "armed spent False"),
    ("one accept for an edge", EDGES[:1] + [READY, ACCEPT, SLEEP], "spent armed True", "listener:x"),
    ("an accept that failed", EDGES[:1] + [READY, ("listener:accept", {"result": "EMFILE"}), SLEEP], "spent armed True", "listener:x"),
    ("an accept that failed, and a time-out", EDGES[:1] + [READY, ("listener:accept", {"result": "EMFILE"}), ("reactor:waits", {"timeout": 9})], "spent armed False", "listener:x"),
    ("accepts that are tried again", EDGES[:1] + [READY, ACCEPT, ("listener:failed", {"error": "x", "retry": 5}), SLEEP], "spent armed False", "listener:x"),
]
DERIVE = """([steps, group]) => {
  const state = State.fresh();
  for (const [name, data, thread] of steps) {
    const isOfLoop = name === "reactor:waits";
    State.apply(state, Trace.event({ name, data, thread, group_id: isOfLoop ? undefined : group }, 1));
  }
  const slot = state.slots.get(group);
  return `${slot.in.bell} ${slot.out.bell} ${Why.isStuck(slot) ? "True" : "False"}`;
}"""


def derives_bells(browser, url):
    page = Page(browser, url)
    for what, steps, expected, *group in BELLS:
        same(page.run(DERIVE, [steps, *(group or ["#1"])]), expected, what)


def says_what_happens(browser, url):
    page = Page(browser, url)
    page.go(19)
    same(page.text(".words"), "#1: the kernel took 2,304 of 65,536 bytes. The rest is kept, and reading stops until it is gone.")
    same(page.text(".place h3"), "src/echo.rs:3")
    same(page.text(".source .here"), "3 write(n);")
    assert "Stop 1 of 2: A short write" in page.text(".tour")
    page.press("]")
    same(page.number(), 38, "the next stop")
    page.press("[")
    same(page.number(), 19, "the stop before")
    for kind, numbers in [("blocked", [19, 25, 26]), ("timeout", [46]), ("refused", [43, 48]), ("stuck", [38]), ("closed", [47, 51])]:
        page.press("Home")
        page.page.select_option("#landmark", kind)
        page.run("document.activeElement.blur()")
        found = []
        for _ in numbers:
            page.press("j")
            found.append(page.number())
        same(found, numbers, kind)
        page.press("Shift+J")
        same(page.number(), ([2] + numbers)[-2] if len(numbers) > 1 else numbers[0], f"{kind}, back")


def predicts(browser, url):
    page = Page(browser, url)
    page.go(17)
    page.press("p", "ArrowRight")
    same(page.number(), 17, "it stops before the event")
    same(page.text(".intro"), "Does the kernel take all of it?")
    assert "65,536 bytes are written to #1 next" in page.text(".asked")
    assert "2,304" not in page.text(".event"), "the answer is shown"
    page.page.get_by_role("button", name="1. the kernel takes all").click()
    page.drawn()
    same(page.number(), 19)
    same(page.text(".verdict"), "No: the kernel takes a part. 0 of 1 right so far.")
    assert "took 2,304 of 65,536" in page.text(".words")
    for _ in range(20):
        if page.run("Page.runs[0].asked !== undefined"):
            break
        page.press("ArrowRight")
    assert "63,232 bytes are written to #1 next" in page.text(".asked"), page.text(".asked")
    page.press("3")
    same(page.text(".verdict"), "Right. 1 of 2 right so far.")
    page.go(14)
    page.press("ArrowRight")
    same(page.text(".asked"), "The server sleeps. Who wakes it first?")
    same(page.text(".options"), "1. #1 2. #2 3. listener:127.0.0.1:7007 4. nothing: a deadline comes Show me")
    page.press("ArrowRight")  # Without an answer.
    same((page.number(), page.text(".verdict")), (15, ""))
    page.press("p", "ArrowRight", "ArrowRight")
    same((page.number(), page.page.locator(".question").is_visible()), (17, False), "switched off")


def links(browser, url):
    page = Page(browser, f"{url}#e=19")
    same(page.number(), 19)
    page.press("ArrowRight")
    page.until("location.hash === '#e=20'")
    page.run("location.hash = '#e=38'")
    page.drawn()
    same(page.number(), 38)
    for odd, expected in [("#e=99999", 53), ("#e=0", 2), ("#e=18", 19), ("#e=x", 19), ("#e=1e99", 53), ("#%%%", 53)]:
        page.run("(hash) => (location.hash = hash)", odd)
        page.drawn()
        same(page.number(), expected, odd)
    same(page.troubles, [])


def fits(browser, url):
    for scheme in ["light", "dark"]:
        page = Page(browser, url, NARROW, scheme)
        page.run("document.querySelector('.filter').open = true")
        for index in range(page.run("Page.runs[0].last")):
            page.run("(index) => { Page.runs[0].go(index); Page.runs[0].render(); }", index)
            widths = page.run("[document.documentElement.scrollWidth, innerWidth]")
            assert widths[0] <= widths[1], f"{widths} at index {index}"


def shows_foreign_words_as_text(browser, url):
    page = Page(browser, url)
    page.go(11)
    shown = "<img src=x onerror=\"document.title='run'\">\\u{202e}</script>"
    same(page.page.locator(".slot .peer").nth(3).inner_text(), shown)
    assert shown in page.text(".words")
    page.go(52)
    assert page.card("__proto__"), "a slot with an odd name"
    same(page.page.locator("img").count(), 0, "images")
    same(page.page.title(), "Trace: made by hand")
    same(page.troubles, [])


def is_accessible(browser, url):
    axe = pathlib.Path(importlib.util.find_spec("axe_playwright_python").origin).with_name("axe.min.js").read_text()
    for viewport, scheme in [(WIDE, "light"), (WIDE, "dark"), (NARROW, "light"), (NARROW, "dark")]:
        page = Page(browser, f"{url}#e=38", viewport, scheme)
        page.run(axe)
        look(page, "a lost wake-up")
        page.go(17)
        page.press("p", "ArrowRight")
        page.run("document.querySelector('.filter').open = document.querySelector('.raw').open = true")
        look(page, "a question")
        page.press("1")
        look(page, "an answer")
        page.press("?")
        look(page, "the help")


def look(page, what):
    found = page.run("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    assert not found, f"{what}: " + "; ".join(f"{v['id']}: {v['nodes'][0]['html'][:200]} {v['nodes'][0]['failureSummary']}" for v in found)


def takes_keys_and_mouse(browser, url):
    page = Page(browser, url)
    box = page.page.locator(".pin").bounding_box()
    expected = page.run("Page.runs[0].lanes.x(10)")
    page.page.mouse.click(box["x"] + expected, box["y"] + 30)
    same(page.run("Page.runs[0].index"), 10, "a click on the lanes")
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + page.run("Page.runs[0].lanes.x(20)"), box["y"] + 30)
    page.page.mouse.up()
    same(page.run("Page.runs[0].index"), 20, "a drag on the lanes")
    page.page.locator(".scrub").fill("7")
    same(page.run("Page.runs[0].index"), 7, "the slider")
    page.press("?")
    assert page.page.locator("#help").is_visible()
    page.press("Escape")
    assert not page.page.locator("#help").is_visible()
    page.press("/")
    page.page.keyboard.type("#2")
    page.drawn()
    same(page.run("Page.runs[0].lanes.shown.map((lane) => lane.group)"), ["#2"], "the filter")
    page.page.keyboard.press("Tab")  # Out of the field, where keys are letters.
    page.run("document.activeElement.blur()")
    page.press("Home", "ArrowRight", "ArrowRight")
    same(page.number(), 12, "only events of #2")
    page.press("ArrowRight")
    same(page.number(), 34, "only events of #2")
    page.page.locator("#kinds input[value='connection:read']").uncheck()
    page.run("document.activeElement.blur()")
    page.press("ArrowRight")
    same(page.number(), 36, "an event of a kind that is switched off")


def plays(browser, url):
    page = Page(browser, url)
    page.page.select_option("#speed", "100")
    page.page.locator("#play").click()
    page.until("Page.runs[0].index === Page.runs[0].last")
    page.until("document.getElementById('play').textContent === 'Play'")
    same(page.page.locator(".words").get_attribute("aria-live"), "polite")


def says_that_it_is_truncated(browser, url):
    page = Page(browser, url)
    assert "truncated" in page.text(".note") and "line 31 breaks off" in page.text(".note"), page.text(".note")
    page.press("End")
    same(page.number(), 29)
    same(page.troubles, [])


def survives_odd_records(browser, url):
    page = Page(browser, url)
    page.run("document.querySelector('.raw').open = true")
    page.run("Page.actions.predict()")
    for _ in range(3 * page.run("Page.runs[0].last")):
        if not page.run("Page.runs[0].step(1) || Page.runs[0].asked !== undefined"):
            break
        page.run("Page.runs[0].render()")
    same(page.run("Page.runs[0].index - Page.runs[0].last"), 0, "the end")
    assert page.run("Page.runs[0].last") > 200, "the trace was cut"
    page.run("Page.runs[0].lanes.fit(); Page.actions.axis()")
    page.press("0", "Home")
    same(page.troubles, [])


def shows_two(browser, url):
    page = Page(browser, f"{url}#e=5&f=9")
    same((page.number(0), page.number(1)), (5, 9), "the link")
    page.press("ArrowRight")
    same((page.number(0), page.number(1)), (6, 10), "both move")
    page.press("b")
    page.page.locator(".run").nth(1).locator(".event").click()
    page.press("ArrowRight")
    same((page.number(0), page.number(1)), (6, 11), "one moves")
    page.page.set_viewport_size(NARROW)
    page.drawn()
    widths = page.run("[document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1], f"{widths}"
    same(page.troubles, [])


def says_that_it_is_empty(browser, url):
    page = Page(browser, url)
    assert "holds no event" in page.text("#nothing")
    same(page.troubles, [])


# What one frame does, counted: how often the lanes were painted, and what changed in the document.
COUNT = """async () => {
  const [run, paint] = [Page.runs[0], Paint.lanes];
  let [paints, changes, times] = [0, 0, []];
  Paint.lanes = (lanes) => { paints++; paint(lanes); };
  const watch = new MutationObserver((list) => (changes += list.length));
  watch.observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
  for (let i = 0; i < 400; i++) {
    const began = performance.now();
    run.step(1);
    run.render();
    document.body.offsetHeight;
    times.push(performance.now() - began);
    await null;
  }
  return { paints, changes: changes / 400, median: times.sort((a, b) => a - b)[200] };
}"""


def is_quick(browser, url):
    page = Page(browser, url)
    events = page.run("Page.runs[0].last + 1")
    assert events >= 10_000, events
    page.run("Page.runs[0].go(5000)")
    page.drawn()
    work = page.run(COUNT)
    print(events, "events:", work)
    # The lanes move on in windows of 150 events; a frame at 60 a second lasts 16.7 ms.
    assert work["paints"] <= 40 and work["changes"] <= 100 and work["median"] <= 16.7, work
    page.press("End")
    last = page.shown()
    page.press("Home", "End")
    same(page.shown(), last, "the last event")


def main(check, url):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        globals()[check](browser, url)
        browser.close()


main(*sys.argv[1:])
