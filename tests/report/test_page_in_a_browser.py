"""The page in a real browser: fits a phone, follows the colour scheme, shows hovers.

Needs Chromium on the PATH (Debian: chromium-headless-shell, or chromium). No package
index for Python has a browser, so these tests are slow ones, run by `make test-slow`;
the fast suite reads the same page with a strict parser (test_pages.py).
"""

import json
import re
import shutil
import subprocess

import pytest
from PIL import Image

from simclr_tf.report.html_page import html_of
from tests.report.page_of_everything import page_of_everything

pytestmark = pytest.mark.slow

BROWSERS = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "chrome",
)
PROBE = """<script>
addEventListener("load", function () {
  var found = {}, dot = document.querySelector(".maps g[data-i='2'] circle,"
    + ".maps g[data-i='2'] rect"), tip, point;
  found.width = document.documentElement.scrollWidth;
  found.window = document.documentElement.clientWidth;
  found.paper = getComputedStyle(document.body).backgroundColor;
  found.resources = performance.getEntriesByType("resource").map(
    function (entry) { return entry.name.slice(0, 5); });
  found.images = Array.from(document.images).every(
    function (image) { return image.complete && image.naturalWidth > 0; });
  dot.scrollIntoView();
  point = dot.getBoundingClientRect();
  dot.dispatchEvent(new PointerEvent("pointermove", {bubbles: true,
    clientX: point.x, clientY: point.y}));
  tip = document.getElementById("tip");
  found.tip = tip && tip.textContent;
  found.thumbnail = tip && getComputedStyle(tip.querySelector("i")).backgroundPosition;
  found.tipRight = tip && tip.getBoundingClientRect().right;
  document.body.setAttribute("data-found", JSON.stringify(found));
});
</script>"""


@pytest.fixture(scope="module")
def browser():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert found, f"These tests open pages in a browser: install one of {BROWSERS}."
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    text = html_of(page_of_everything(40))
    path.write_text(text.replace("</body>", f"{PROBE}</body>"))
    return path


def opened(browser, page, *flags, width=360):
    """What the browser prints; it can reach no host."""
    done = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            *flags,
            f"--window-size={width},800",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={page.parent}/profile",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def found_in(browser, page, *flags, width=360):
    dom = opened(
        browser, page, "--dump-dom", "--virtual-time-budget=2000", *flags, width=width
    )
    quoted = re.search(r'data-found="([^"]*)"', dom).group(1)
    return json.loads(quoted.replace("&quot;", '"').replace("&amp;", "&"))


@pytest.mark.parametrize("width", [360, 1100])
def test_page_fits_the_window_and_loads_nothing(browser, page, width):
    found = found_in(browser, page, width=width)
    assert found["window"] == width and found["width"] <= width
    assert set(found["resources"]) <= {"data:"} and found["images"]


def test_pointing_at_a_dot_shows_its_name_and_its_image(browser, page):
    found = found_in(browser, page)
    assert found["tip"] == "class 11 · n2"
    # Place 2 of a sheet of 7 columns, thumbnails of 5 x 6 pixels 16 times as large.
    assert found["thumbnail"] == f"{-2 * 5 * 16}px 0px"
    assert found["tipRight"] <= 360


def test_page_follows_the_colour_scheme(browser, page):
    dark = "--blink-settings=preferredColorScheme=0"
    papers = [found_in(browser, page, *flags)["paper"] for flags in ((), (dark,))]
    assert papers == ["rgb(255, 255, 255)", "rgb(20, 24, 31)"]
    shades = []
    for name, flags in (("light", ()), ("dark", (dark,))):
        picture = page.parent / f"{name}.png"
        opened(browser, page, f"--screenshot={picture}", *flags)
        with Image.open(picture) as image:
            histogram = image.convert("L").histogram()
            shades.append(sum(histogram[200:]) / sum(histogram))
    assert shades[0] > 0.7 and shades[1] < 0.2
