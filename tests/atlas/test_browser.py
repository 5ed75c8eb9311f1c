"""Pages in a real browser: the system's Chromium, from disk, on a desktop, a slow phone and at 320 px.

Needs ``pip install "g287stats[browser]"`` and Chromium (Debian: ``apt-get install chromium``), else skipped. A newer
axe than the one in the extra is taken from the file named by ``G287STATS_AXE``.
"""

import importlib.util
import os
import re
import shutil
from pathlib import Path

import pytest

import g287stats as g
from g287stats.atlas import facts, write
from g287stats.atlas.sources import load_sources

CHROMIUM = next(filter(None, (shutil.which(n) for n in ("chromium", "chromium-browser", "google-chrome"))), None)
HAVE = CHROMIUM and importlib.util.find_spec("playwright") and importlib.util.find_spec("axe_core_python")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not HAVE, reason="Chromium, playwright or axe is not here")]

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
DESKTOP, PHONE, NARROW = (1280, 900), (390, 844), (320, 640)
COUNTIES = ("37071", "37119", "45091", "37061", "45045")
PAGES = ("index.html", "states/nc.html", "states/sc.html", *(f"counties/{c}.html" for c in COUNTIES))


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    folder = tmp_path_factory.mktemp("atlas")
    write.write_atlas(folder, states=["NC", "SC"], progress=False)
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, atlas):
    """Open a page and fail on any message of the console, any error and any request but file: and data:."""
    faults, contexts = [], []

    def open_(name, size=DESKTOP, slow=1, script=True):
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, java_script_enabled=script, accept_downloads=True
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: faults.append(f"{name} console: {m.text}"))
        page.on("pageerror", lambda m: faults.append(f"{name} error: {m}"))
        page.on("request", lambda r: faults.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
        if slow > 1:
            context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slow})
        page.goto((Path(atlas) / name).as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert faults == []


@pytest.mark.parametrize("size", [DESKTOP, PHONE, NARROW], ids=["desktop", "phone", "320px"])
def test_pages_open_without_a_fault_and_do_not_scroll_sideways(visit, size):
    for name in PAGES:
        page = visit(name, size, slow=4 if size == PHONE else 1)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= size[0], f"{name}: {wide} px wide"


def test_the_first_screen_of_a_phone_holds_month_map_and_legend(visit):
    page = visit("index.html", PHONE)
    page.evaluate("document.getElementById('old').hidden = true")
    for selector in ("h1", "#month", "#play", "#slider", ".areas", "#say", "#map", "#n1"):
        box = page.locator(selector).first.bounding_box()
        assert box["y"] + box["height"] <= PHONE[1], f"{selector} ends at {box['y'] + box['height']:.0f}"


def test_text_is_at_least_twelve_pixels(visit):
    script = """() => [...document.querySelectorAll('main *')].filter(e => e.getClientRects().length &&
        [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())).map(e => {
        const svg = e.closest('svg'), box = svg && svg.viewBox.baseVal;
        const scale = box && box.width ? svg.getBoundingClientRect().width / box.width : 1;
        return [parseFloat(getComputedStyle(e).fontSize) * scale, e.textContent.trim().slice(0, 30)]})
        .filter(x => x[0] < 11.95)"""
    for size in (DESKTOP, PHONE, NARROW):
        for name in ("index.html", "states/nc.html", "counties/37071.html"):
            assert visit(name, size).evaluate(script) == [], f"{name} at {size[0]} px"


def test_axe_finds_nothing(visit):
    import axe_core_python

    named = os.environ.get("G287STATS_AXE")
    source = Path(named) if named else Path(axe_core_python.__file__).parent / "axe.min.js"
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    for size in (DESKTOP, PHONE):
        for name in PAGES:
            page = visit(name, size)
            page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            page.evaluate(source.read_text("utf-8"))
            found = page.evaluate("tags => axe.run(document, {runOnly: {type: 'tag', values: tags}})", tags)
            told = [f"{name} {v['id']}: {v['nodes'][0]['html'][:150]} ({len(v['nodes'])})" for v in found["violations"]]
            assert told == []


def test_every_month_has_every_class_and_the_legend_is_the_record(visit):
    page = visit("index.html")
    seen = page.evaluate(
        """() => { const s = document.getElementById('slider'), out = [];
        for (let m = 0; m <= +s.max; m++) { s.value = m; s.dispatchEvent(new Event('input'));
          const bad = [...document.getElementById('cs').children].filter(
            p => !/^k[0-4]$/.test(p.getAttribute('class') || 'k0')).length;
          const n = id => +document.getElementById(id).textContent.replace(/,/g, '');
          out.push([bad, n('n0'), n('n1'), n('n2'), n('n3'), n('n4'), n('nd'),
                    document.getElementById('say').textContent, s.getAttribute('aria-valuetext')]); }
        return out; }"""
    )
    nation = g.nation_facts()
    assert len(seen) == len(nation.months)
    assert not any(row[0] for row in seen)
    sources = load_sources()
    spells = facts.spells_by_county(sources)
    _, ends = facts.month_ends(sources)
    assert len({sum(row[1:7]) for row in seen}) == 1
    for m in (0, 50, 84, 95, 110, 131, 150, 190, 228, 260, 283, len(seen) - 1):
        day = ends[m].date()
        kinds = dict.fromkeys(range(5), 0)
        towns = 0
        for mine in spells.values():
            live = [s for s in mine if s.active(day)]
            kind = facts.class_of({s.model for s in live if s.level == "county"})
            kinds[kind] += 1
            towns += kind == 0 and bool(live)
        assert seen[m][2:6] == [kinds[k] for k in (1, 2, 3, 4)], ends[m]
        assert seen[m][6] == towns
        total = int(nation.months["total"].iloc[m])
        said = f"{total:,} agreement{'' if total == 1 else 's'}"
        assert said in seen[m][7] and seen[m][8].endswith(said)


def test_as_listed_is_the_list_of_the_day(visit):
    page = visit("index.html")
    page.select_option("#basis", "listed")
    nation = g.nation_facts()
    for month in ("2021-01", "2023-06", "2025-08", "2026-05"):
        at = list(nation.months.index.astype(str)).index(month)
        page.evaluate(
            "m => { const s = document.getElementById('slider'); s.value = m; s.dispatchEvent(new Event('input')) }", at
        )
        assert f": {nation.months['listed'].iloc[at]:,} agreement" in page.inner_text("#say")
    page.focus("#slider")
    page.keyboard.press("Home")
    assert "no list in hand before 13 Jan 2021" in page.inner_text("#say")


def test_filters_count_what_the_record_holds(visit):
    page = visit("index.html")
    page.select_option("#model", "1")
    page.select_option("#level", "0")
    active = g.load_agreements().active("2026-05-18", "signed")
    wanted = active[active.model.eq("JEM") & active.jurisdiction.isin(("county", "regional"))]
    assert f"{len(wanted):,} agreements" in page.inner_text("#say")
    assert "Filtered: jail enforcement, sheriffs and county agencies." in page.inner_text("#say")


def test_keys_search_hash_and_play(visit):
    page = visit("index.html")
    page.focus("#slider")
    page.keyboard.press("Home")
    assert page.inner_text("#month") == "January 2002"
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#month") == "February 2002"
    page.keyboard.press("PageUp")
    assert page.inner_text("#month") == "February 2003"
    page.keyboard.press("PageDown")
    page.keyboard.press("End")
    assert page.inner_text("#month") == "May 2026"
    assert page.get_attribute("#slider", "aria-valuetext") == "May 2026: 1,843 agreements"
    page.click("#play")
    page.wait_for_function("document.getElementById('month').textContent !== 'January 2025'")
    page.click("#play")
    stopped = page.inner_text("#month")
    page.wait_for_timeout(800)
    assert page.inner_text("#month") == stopped
    assert page.url.endswith("#m=" + re.sub(r"(\w+) (\d+)", lambda m: f"{m[2]}-{_number(m[1])}", stopped))
    page.fill("#county", "Gaston, NC")
    page.keyboard.press("Enter")
    page.wait_for_url("**/counties/37071.html")


def _number(month):
    import calendar

    return f"{list(calendar.month_name).index(month):02d}"


def test_the_hash_brings_a_view_back(visit, atlas):
    page = visit("index.html")
    page.goto((Path(atlas) / "index.html").as_uri() + "#m=2012-06&model=1&c=37119")
    page.reload()
    assert page.inner_text("#month") == "June 2012"
    assert "Mecklenburg County Sheriff's Office, jail enforcement" in page.inner_text("#card")


def test_tab_order_reaches_the_controls_and_no_outline(visit):
    page = visit("index.html")
    seen = []
    for _ in range(16):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.slice(0, 20)"))
    order = [i for i in seen if i in ("slider", "play", "model", "level", "basis", "county")]
    assert order == ["slider", "play", "model", "level", "basis", "county"]
    assert page.evaluate("document.querySelectorAll('#map [tabindex], #map a').length") == 0


def test_the_table_of_states_sorts(visit):
    page = visit("index.html")
    page.click("#states-table th:nth-child(1) button")
    page.click("#states-table th:nth-child(1) button")
    names = page.locator("#states-table tbody th").all_inner_texts()
    assert names == sorted(names)
    page.click("#states-table th:nth-child(4) button")
    numbers = [int(t.replace(",", "")) for t in page.locator("#states-table tbody td:nth-child(4)").all_inner_texts()]
    assert numbers == sorted(numbers, reverse=True)


def test_without_a_script_map_sentence_and_tables_are_there(visit):
    page = visit("index.html", script=False)
    assert page.locator("#cs path").count() > 3100 and page.locator("#cs .k4").count() > 100
    assert "1,843 agreements signed and not ended" in page.inner_text("#say")
    assert page.locator("#n1").inner_text() == str(g.nation_facts().counts[1])
    assert not page.is_visible("#slider") and not page.is_visible("#model")
    assert page.locator("#states-table tbody tr").count() > 38
    assert page.get_by_role("heading", level=1).inner_text() == g.nation_facts().headline


def test_a_click_pins_a_card_with_a_link(visit):
    page = visit("index.html")
    at = page.evaluate(
        "() => { const i = [...document.getElementById('cs').children].findIndex("
        "p => p.no === JSON.parse(document.getElementById('data').textContent).fips.indexOf('37071'));"
        "const b = document.getElementById('cs').children[i].getBoundingClientRect();"
        "return [b.x + b.width / 2, b.y + b.height / 2] }"
    )
    page.mouse.click(*at)
    assert "Gaston County, NC" in page.inner_text("#card")
    page.click("#card a")
    page.wait_for_url("**/counties/37071.html")


def test_downloads_save_files_that_open(visit, tmp_path):
    import openpyxl

    page = visit("counties/37071.html")
    with page.expect_download() as saved:
        page.click("text=Download all as XLSX")
    saved.value.save_as(tmp_path / "a.xlsx")
    assert openpyxl.load_workbook(tmp_path / "a.xlsx").sheetnames[0] == "agreements"


@pytest.mark.parametrize("code", ["37071", "37119", "45091"])
def test_print_has_at_most_five_pages_with_the_name_on_each(visit, code, tmp_path):
    page = visit(f"counties/{code}.html")
    content = page.pdf(format="Letter", print_background=True)
    pages = len(re.findall(rb"/Type\s*/Page\b", content))
    assert 1 <= pages <= 5


def test_slider_steps_are_quick(visit):
    script = """() => { const s = document.getElementById('slider'), t = [];
        for (let m = 0; m <= +s.max; m++) { s.value = m; const a = performance.now();
        s.dispatchEvent(new Event('input')); t.push(performance.now() - a); }
        t.sort((a, b) => a - b); return t[Math.floor(t.length / 2)]; }"""
    assert visit("index.html").evaluate(script) < 50  # the budget of 16 ms is measured by benchmarks/atlas_pages.py
