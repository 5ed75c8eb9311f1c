"""Build the atlas and measure it: sizes, build time, paint, slider step; write the screenshots looked at by a person.

python benchmarks/atlas.py FOLDER [--shots FOLDER] [--report report.html] [--reuse]
"""

import argparse
import gzip
import resource
import shutil
import statistics
import time
from pathlib import Path

PAGES = {  # what is looked at before a release
    "national": "index.html",
    "gaston": "counties/37071.html",
    "mecklenburg-ended": "counties/37119.html",
    "miami-dade-13-agencies": "counties/12086.html",
    "fairfield-ct": "counties/09001.html",
    "texas": "states/tx.html",
    "loving-tx": "loving.html",
}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
STEP = """() => { const s = document.getElementById('slider'), t = [];
  for (let m = 0; m <= +s.max; m++) { s.value = m; const a = performance.now();
    s.dispatchEvent(new Event('input')); t.push(performance.now() - a); } return t; }"""
PAINT = "() => performance.getEntriesByName('first-contentful-paint').map(e => e.startTime)[0] || null"


def build(folder: Path) -> None:
    from g287stats.atlas.write import write_atlas, write_county

    wall, processor = time.perf_counter(), time.process_time()
    written = write_atlas(folder, progress=False)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"build: {len(written)} files, {wall:.0f} s wall, {processor:.0f} s processor (budget 60), "
        f"{memory:.0f} MB memory"
    )
    start = time.process_time()
    write_county("Gaston, NC", folder / "one.html")
    print(f"one county page, tables loaded: {time.process_time() - start:.2f} s processor")
    (folder / "one.html").unlink()
    write_county("Loving, TX", folder / "loving.html")


def sizes(folder: Path) -> None:
    index = (folder / "index.html").read_bytes()
    counties = [p.stat().st_size for p in (folder / "counties").glob("*.html")]
    states = [p.stat().st_size for p in (folder / "states").glob("*.html")]
    total = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    print(f"national page: {len(index) / 1e3:.0f} KB, {len(gzip.compress(index)) / 1e3:.0f} KB gzip (budget 700)")
    print(
        f"county pages: {len(counties)}, median {statistics.median(counties) / 1e3:.0f} KB, "
        f"largest {max(counties) / 1e3:.0f} KB (budget 80)"
    )
    print(f"state pages: {len(states)}, {sum(states) / 1e6:.2f} MB (budget 2)")
    print(f"whole atlas: {total / 1e6:.1f} MB (budget 60)")


def measure(folder: Path, shots: Path | None, report: Path | None) -> None:
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    pages = {k: (folder / v).resolve() for k, v in PAGES.items()} | ({"report": report.resolve()} if report else {})
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=FLAGS)
        for kind, size, slow in (("desktop", (1280, 900), 1), ("phone", (390, 844), 4)):
            for name, path in pages.items():
                context = browser.new_context(viewport={"width": size[0], "height": size[1]})
                page = context.new_page()
                if slow > 1:
                    context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slow})
                page.goto(path.as_uri())
                page.wait_for_timeout(200)
                told = f"{kind} {name}: first paint {page.evaluate(PAINT) or float('nan'):.0f} ms"
                if name == "national":
                    steps = sorted(page.evaluate(STEP))
                    told += f", slider step median {steps[len(steps) // 2]:.1f} ms, largest {steps[-1]:.1f} ms"
                print(told)
                if shots:
                    shots.mkdir(parents=True, exist_ok=True)
                    page.goto("about:blank")
                    page.goto(path.as_uri())
                    page.screenshot(path=shots / f"{name}-{kind}.png", full_page=name not in ("national", "texas"))
                context.close()
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shots", type=Path, help="folder for screenshots")
    parser.add_argument("--report", type=Path, help="an evidence report to measure too")
    parser.add_argument("--reuse", action="store_true", help="measure what is in the folder, build nothing")
    options = parser.parse_args()
    if not options.reuse:
        build(options.folder)
    sizes(options.folder)
    measure(options.folder, options.shots, options.report)


if __name__ == "__main__":
    main()
