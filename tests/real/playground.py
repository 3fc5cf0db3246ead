"""Uses the page of the playground in a real browser, without a network.

usage: playground.py PAGE check
       playground.py PAGE walk FIRST-SEED WALKS STEPS
       playground.py PAGE trace LINK STEPS
"""

import importlib.util
import pathlib
import re
import sys

from playwright.sync_api import sync_playwright

CHROMIUM = "/usr/bin/chromium"
WIDE, NARROW = {"width": 1200, "height": 900}, {"width": 400, "height": 800}
RED = "rgb(194, 24, 43)"

# Links to mistakes, how many steps to take before what is done to the peer, who is shown in red then, and its words.
BAD = [
    ("#scratch=1024&writes=4096&mistakes=undrained-edge", 0, None, "server", "Nothing will wake it: the kernel has reported them"),
    ("#send-buffer=1024&mistakes=lost-tail&message=2048", 0, None, "server", "1,024 bytes that the server lost. Nothing will wake it."),
    ("#send-buffer=1024&mistakes=sent-twice", 0, None, "peer", "byte 1024 of the echo is not the one"),
    ("#send-buffer=1024&reads=64&message=16384&mistakes=stuck-back-pressure", 0, None, "server", "it did not ask the kernel to ring for room"),
    ("#message=8192&mistakes=trusted-short-read", 4, "end", "server", "end of file lies in the kernel. Nothing will wake it"),
    ("#send-buffer=1024&reads=64&mistakes=hang-up-first", 20, "end", "peer", "the echo lacks"),
    ("#level=1&paused=1&message=1024&mistakes=always-writable", 0, None, "server", "it spins"),
]
# Links under which nothing goes wrong.
GOOD = ["#", "#level=1", "#scratch=1024&writes=4096&mistakes=undrained-edge&level=1", "#send-buffer=1024&reads=64&message=16384"]

# Presses the button for a step `left` times, or until something is shown in red. Whether that came.
STEPS = """(left) => {
  const isStuck = () => document.querySelector('.stuck') !== null;
  for (; left > 0 && !isStuck(); left--) document.getElementById('step').click();
  return isStuck();
}"""

# What the page of a trace would say of the saved trace, which does not know all that lies in the kernel.
STUCK_BY_TRACE = """() => {
  const state = State.fresh();
  const records = Play.world.records.slice(1).map((line) => JSON.parse(line));
  records.forEach((record, i) => State.apply(state, Trace.event(record, i)));
  return Why.isStuck(state.slots.get('#1'));
}"""

WALKS = """([first, walks, steps]) => {
  const { playground_walk } = Play.world.module;
  const digest = (_, i) => BigInt.asUintN(64, playground_walk(first + i, steps)).toString(16).padStart(16, '0');
  return Array.from({ length: walks }, digest).join('\\n');
}"""


class Playground:
    """The page in a window of its own, and what went wrong on it."""

    def __init__(self, browser, url, link="#", viewport=WIDE, scheme="light"):
        self.page = browser.new_context(viewport=viewport, color_scheme=scheme, offline=True).new_page()
        self.troubles = []
        self.page.on("console", lambda message: self.troubles.append(message.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", lambda request: request.url.startswith((url, "data:")) or self.troubles.append(request.url))
        self.page.goto(url + link)
        self.run("Play.world.state")

    def run(self, script, argument=None):
        return self.page.evaluate(script, argument)

    def click(self, name):
        self.run("(id) => document.getElementById(id).click()", name)

    def steps(self, times):
        return self.run(STEPS, times)

    def text(self, selector):
        return re.sub(r"\s+", " ", self.page.locator(selector).inner_text()).strip()

    def main(self):
        """All that is shown."""
        return self.run("document.querySelector('main').innerHTML")

    def width(self):
        """How much wider the page is than the window, in pixels."""
        return self.run("document.documentElement.scrollWidth - innerWidth")

    def finish(self):
        assert not self.troubles, self.troubles
        self.page.context.close()


def same(actual, expected, what=""):
    assert actual == expected, f"{what}: {actual!r} is not {expected!r}"


def play_badly(browser, url, link, after, act):
    play = Playground(browser, url, link)
    assert not play.steps(after), link
    if act:
        play.click(act)
    assert play.steps(400), f"{link}: nothing is shown in red"
    return play


def mistakes_show_in_red(browser, url):
    for link, after, act, who, words in BAD:
        play = play_badly(browser, url, link, after, act)
        shown = play.text("#peer.stuck .why" if who == "peer" else "#server .slot.stuck .why")
        assert words in shown, f"{link}: {shown}"
        if who == "server":
            same(play.run("getComputedStyle(document.querySelector('#server .wakes')).color"), RED, link)
        play.finish()


def without_mistakes_nothing_is_red(browser, url):
    for link in GOOD:
        play = Playground(browser, url, link)
        assert not play.steps(60), link
        play.click("end")
        assert not play.steps(400), link
        same(play.text("#server .why"), "Has closed: the peer has finished.", link)
        same(play.text("#peer .why"), "Has all of its echo, and has closed.", link)
        play.finish()


def the_page_of_a_trace_agrees(browser, url):
    for link, after, act, _, _ in BAD:
        if re.search("undrained|trusted|back-pressure", link):
            play = play_badly(browser, url, link, after, act)
            for _ in range(3):  # Until the server sleeps.
                play.click("step")
            assert play.run(STUCK_BY_TRACE), link
            play.finish()
    for link in GOOD:
        play = Playground(browser, url, link)
        for step in range(60):
            play.steps(1)
            assert not play.run(STUCK_BY_TRACE), f"{link}, step {step}"
        play.finish()


def steps_go_both_ways(browser, url):
    play = Playground(browser, url, "#send-buffer=1024&reads=512")
    shown = [play.main()]
    for _ in range(25):
        play.page.keyboard.press("ArrowRight")
        shown.append(play.main())
    assert len(set(shown)) > 20, "steps change nothing"
    for at in reversed(range(25)):
        play.page.keyboard.press("ArrowLeft")
        same(play.main(), shown[at], f"back at {at}")
    play.page.keyboard.press("ArrowLeft")
    same(play.main(), shown[0], "back at the start")
    play.finish()


def settings_and_scenarios_work(browser, url):
    play = Playground(browser, url)
    play.page.locator("#send-buffer").focus()
    play.page.keyboard.press("ArrowLeft")
    play.page.keyboard.press("ArrowLeft")
    same(play.text("#send-buffer + output"), "1,024 bytes")
    assert "of 1,024 bytes" in play.text("#kernel")
    play.steps(5)
    play.page.locator("#scenarios li:nth-child(2) a").click()
    play.page.locator("#undrained-edge:checked").wait_for()
    same((play.text("#scratch + output"), play.text("#send-buffer + output")), ("1,024 bytes", "4,096 bytes"))
    same(play.text("#totals"), "sent 0 · received 0")
    play.steps(5)
    play.page.locator("#message").press("ArrowRight")
    play.click("anew")
    same((play.text("#message + output"), play.text("#totals")), ("8,192 bytes", "sent 0 · received 0"), "a new connection")
    play.page.locator("#scenarios li:nth-child(2) a").click()
    same(play.text("#message + output"), "4,096 bytes", "the same link again")
    play.finish()


def a_paused_peer_holds_the_server_back(browser, url):
    play = Playground(browser, url, "#message=65536")
    play.click("pause")
    same(play.page.locator("#pause").get_attribute("aria-pressed"), "true")
    play.steps(40)
    why = play.text("#server .why")
    assert why.startswith("Waits for room") and why.endswith("The kernel rings when the peer has read."), why
    same(play.page.locator("#server .out .bell").get_attribute("data-bell"), "armed")
    before = play.text("#totals")
    play.steps(5)
    same(play.text("#totals"), before, "paused")
    play.click("pause")
    play.steps(5)
    assert play.text("#totals") != before, "it goes on"
    play.finish()


def a_cut_wire_ends_both(browser, url):
    play = Playground(browser, url)
    play.steps(10)
    play.click("cut")
    assert not play.steps(4)
    same((play.text("#server .why"), play.text("#peer .why")), ("Has closed: connection reset.", "Its wire is cut."))
    play.finish()


def it_runs_by_itself(browser, url):
    play = Playground(browser, url)
    play.page.keyboard.press(" ")
    play.page.locator("#totals", has_text=re.compile("received [1-9]")).wait_for()
    play.page.keyboard.press(" ")
    same(play.page.locator("#run").get_attribute("aria-pressed"), "false")
    play.finish()


def the_line_of_the_connection_is_shown(browser, url):
    play = Playground(browser, url, "#send-buffer=1024")
    places = set()
    for _ in range(4):
        play.steps(1)
        places.add((play.text("#place"), play.text("#lines mark")))
    assert any(place.startswith("src/conn.rs:") and "write(io, " in line for place, line in places), places
    play.page.locator("#words button", has_text="The wait ends").first.click()
    assert play.text("#place").startswith("playground/src/server.rs:"), play.text("#place")
    with play.page.expect_download() as saved:
        play.click("save")
    lines = pathlib.Path(saved.value.path()).read_text().splitlines()
    assert '"schema":"resound-trace"' in lines[0] and any('"place":"src/conn.rs:' in line for line in lines), lines[:3]
    play.page.context.close()


def odd_links_do_no_harm(browser, url):
    odd = ["#%", "#scratch=%3Cscript%3E&level=7", "#mistakes=__proto__,constructor&message=1e999", "#reads=-1&writes=0&scratch=99999999"]
    for link in odd:
        play = Playground(browser, url, link)
        assert not play.steps(30), link
        play.finish()


def it_fits_and_is_accessible(browser, url):
    axe = pathlib.Path(importlib.util.find_spec("axe_playwright_python").origin).with_name("axe.min.js").read_text()
    for viewport in [WIDE, NARROW]:
        for scheme in ["light", "dark"]:
            play = Playground(browser, url, BAD[0][0], viewport, scheme)
            play.steps(100)
            assert play.width() <= 0, f"{play.width()} pixels too wide at {viewport}"
            play.run(axe)
            found = play.run("axe.run(document, { resultTypes: ['violations'] })")["violations"]
            assert not found, [f"{v['id']}: {v['nodes'][0]['failureSummary']}" for v in found]
            play.finish()


CHECKS = [
    mistakes_show_in_red,
    without_mistakes_nothing_is_red,
    the_page_of_a_trace_agrees,
    steps_go_both_ways,
    settings_and_scenarios_work,
    a_paused_peer_holds_the_server_back,
    a_cut_wire_ends_both,
    it_runs_by_itself,
    the_line_of_the_connection_is_shown,
    odd_links_do_no_harm,
    it_fits_and_is_accessible,
]


def check_all(browser, url):
    for check in CHECKS:
        check(browser, url)


def walk(browser, url, *numbers):
    """Prints the digests of random walks of the module: the first seed, how many walks, and the steps of each."""
    print(Playground(browser, url).run(WALKS, [int(number) for number in numbers]))


def trace(browser, url, link, steps):
    """Prints the trace after these steps."""
    play = Playground(browser, url, link)
    for _ in range(int(steps)):
        play.click("step")
    print(play.run("Play.world.trace()"), end="")
    play.finish()


def main(page, act, *arguments):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        {"check": check_all, "walk": walk, "trace": trace}[act](browser, pathlib.Path(page).resolve().as_uri(), *arguments)
        browser.close()


main(*sys.argv[1:])
