"""The report in headless Chromium: no errors, no requests, nothing wider than the screen, tables that sort.

Run by ``.ci/run``, which installs the browser, as ``pytest tests/browser/report_in_browser.py``; its name keeps it out
of what ``make test`` collects, since a user need not have a browser.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from html import escape
from pathlib import Path
from typing import Any

import pytest

from sim.figures.style import save_all, styled
from sim.figures.sweep_figures import draw_sweep, latency
from sim.report.asked import asked_of_sweep
from sim.report.page import write_report
from sim.report.results import means_with_intervals, sweep_cards
from sim.report.warnings import sweep_warnings
from tests.figures.tables import DELAY, UPLINK, sweep_table, two_axes_table

# Paper is the print style at the width of A4 within its margins.
_WIDTHS = {"phone": 400, "desktop": 1400, "paper": 696}
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
)


def _chromium(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert browser is not None, "these tests need Chromium: apt-get install chromium"
    profile = folder / "profile"
    command = [browser, *_FLAGS, f"--user-data-dir={profile}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    table = sweep_table()
    with styled():
        wide = latency(two_axes_table(), [UPLINK, DELAY])
    assert wide is not None
    long_name = "a scenario whose name is one " + "long" * 30
    return write_report(
        folder,
        long_name,
        sweep_cards(table, [UPLINK]),
        {"Means over replications": means_with_intervals(table, [UPLINK])},
        [*draw_sweep(table, [UPLINK], folder / "figures"), *save_all(wide, folder / "figures", "wide")],
        "name: " + "x" * 300 + "\n",
        {"seed": 1, "hash": "0123456789abcdef" * 12},
        sweep_warnings(table, [UPLINK], ["u_hlm"], 1),
        asked=asked_of_sweep(table, [UPLINK]),
    )


def _framed(page: str, width: int) -> str:
    """A page that shows another one in a frame: a window cannot be made as narrow as a phone."""
    return (
        '<!DOCTYPE html><link rel="icon" href="data:,"><body style="margin:0">'
        f'<iframe style="border:0" width="{width}" height="2400" srcdoc="{escape(page)}"></iframe></body>'
    )


@pytest.fixture(scope="module", params=_WIDTHS)
def measured(request: pytest.FixtureRequest, report: Path) -> tuple[dict[str, Any], str, int]:
    """What the page found of itself, the browser's log, and the width asked for."""
    width = _WIDTHS[request.param]
    script = Path(__file__).with_name("measure.js").read_text(encoding="utf-8")
    text = report.read_text(encoding="utf-8").replace("<details>", "<details open>")
    if request.param == "paper":
        text = text.replace("@media print", "@media all")
    text = text.replace("</head>", f"<script>{script}</script></head>")
    owner = report.with_name(f"{request.param}.html")
    owner.write_text(_framed(text, width), encoding="utf-8")
    done = _chromium(owner.parent, "--window-size=1500,900", "--dump-dom", owner.as_uri())
    found = re.search(r'<pre id="measured">([^<]+)</pre>', done.stdout)
    assert found is not None, done.stderr[-2000:]
    return json.loads(base64.b64decode(found.group(1))), done.stderr, width


def test_nothing_is_wider_than_the_screen(measured: tuple[dict[str, Any], str, int]) -> None:
    found, _, width = measured
    assert found["innerWidth"] == width
    assert found["tooWide"] == []
    assert found["scrollWidth"] <= width


def test_tables_scroll_in_their_own_box_on_a_phone(measured: tuple[dict[str, Any], str, int]) -> None:
    found, _, width = measured
    if width == _WIDTHS["phone"]:
        assert found["tableScrolls"]


def test_a_wide_figure_scrolls_on_a_phone_alone_and_keeps_its_distance(
    measured: tuple[dict[str, Any], str, int],
) -> None:
    found, _, width = measured
    assert (found["wideFigure"] > 100) == (width == _WIDTHS["phone"])
    assert found["wideCaption"] <= width
    assert found["wideGap"] >= 8


def test_no_console_errors_and_no_requests(measured: tuple[dict[str, Any], str, int]) -> None:
    found, log, _ = measured
    assert "CONSOLE" not in log, log
    assert found["requests"] == []
    assert (found["images"], found["brokenImages"]) == (5, 0)


def test_heads_sort_their_table_by_number(measured: tuple[dict[str, Any], str, int]) -> None:
    found, _, _ = measured
    means = means_with_intervals(sweep_table(), [UPLINK])["e2e_mean_s"].sort_values()
    in_order = [f"{mean:.3g}" for mean in means]
    assert found["before"] != found["ascending"]
    assert found["ascending"] == in_order
    assert found["descending"] == in_order[::-1]


def test_a_reader_chooses_what_is_drawn(measured: tuple[dict[str, Any], str, int]) -> None:
    found, _, width = measured
    assert found["isAskHidden"] == (width == _WIDTHS["paper"])
    first, payload, filtered, by_name = found["pictures"]
    assert [picture["broken"] for picture in found["pictures"]] == [0, 0, 0, 0]
    assert (first["marks"], first["lines"]) == (12, 3)
    assert first["series"] == ["full rows", "top-8", "edge only"]
    assert {"Uplink rate (Mbit/s)", "End-to-end latency (s)"} <= set(first["texts"])
    assert first["command"].endswith("specran plot . --x link.uplink_mbps --y e2e_mean_s --by variant")
    assert {"Uplink payload (bit/token)", "1,000", "100,000"} <= set(payload["texts"])
    assert (filtered["marks"], filtered["lines"], filtered["series"]) == (4, 1, [])
    assert filtered["command"].endswith("--y e2e_mean_s --where variant=top-8")
    # Names are no order that a line could follow.
    assert (by_name["lines"], "full rows" in by_name["texts"]) == (0, True)


def test_paper_has_pages(report: Path) -> None:
    printed = report.with_name("page.pdf")
    _chromium(report.parent, f"--print-to-pdf={printed}", "--no-pdf-header-footer", report.as_uri())
    pages = re.findall(rb"/Type\s*/Page\b", printed.read_bytes())
    assert 2 <= len(pages) <= 8


def test_page_paints(report: Path) -> None:
    picture = report.with_name("page.png")
    _chromium(report.parent, "--window-size=1280,2400", f"--screenshot={picture}", report.as_uri())
    # A blank page of this size compresses to a few kilobytes.
    assert picture.stat().st_size > 50_000
