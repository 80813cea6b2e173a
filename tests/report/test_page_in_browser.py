"""The report in a real browser: Chromium at three widths, light and dark, without JavaScript, in print."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from analysis.studies.figures import style
from tests import results_fixture as fixture
from tests.report_fixture import published, render

CHROMIUM = shutil.which("chromium")
QUIET = ("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update")
FLAGS = ["--no-sandbox", "--disable-gpu", *QUIET, "--disable-sync"]
WIDTHS = (360, 768, 1280)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: install Debian's package")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report with verdicts of every kind, a failed run, long words and a cell of two commits."""
    folder = published(tmp_path_factory.mktemp("results"), reason="/a/very/long/path" * 12)
    path = folder / "report.html"
    path.write_text(render(folder), encoding="utf-8")
    return path.resolve().as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def context(browser: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    width, scheme, script = getattr(request, "param", (1280, "light", True))
    made = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script
    )
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext, address: str) -> Page:
    """The page, opened; what it asked for and complained about is in `asked` and `said`."""
    opened = context.new_page()
    opened.asked, opened.said = [], []  # type: ignore[attr-defined]
    opened.on("request", lambda request: opened.asked.append(request.url))  # type: ignore[attr-defined]
    opened.on("console", lambda message: opened.said.append(f"{message.type}: {message.text}"))  # type: ignore[attr-defined]
    opened.on("pageerror", lambda error: opened.said.append(f"error: {error}"))  # type: ignore[attr-defined]
    opened.goto(address)
    return opened


def widths_and_schemes() -> list[tuple[int, str, bool]]:
    return [(width, scheme, True) for width in WIDTHS for scheme in ("light", "dark")]


@pytest.mark.parametrize("context", widths_and_schemes(), indirect=True, ids=lambda p: f"{p[0]}-{p[1]}")
def test_nothing_is_loaded_complained_of_or_overflows(page: Page, address: str) -> None:
    for fold in page.locator("details").all():
        fold.evaluate("fold => { fold.open = true }")
    page.wait_for_load_state("networkidle")
    assert page.asked == [address] and page.said == []  # type: ignore[attr-defined]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # What is wider than the screen scrolls within a region that can be reached by keyboard and has a name.
    wider = page.evaluate(
        """() => [...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1
            && !e.closest('.wide')).map(e => e.outerHTML.slice(0, 80))"""
    )
    assert wider == []
    regions = page.evaluate(
        "[...document.querySelectorAll('.wide')].map(e => [e.tabIndex, e.getAttribute('aria-label')])"
    )
    assert regions and all(index == 0 and label for index, label in regions)


@pytest.mark.parametrize("context", [(360, "dark", True), (1280, "dark", True)], indirect=True, ids=("phone", "wide"))
def test_one_of_two_figures_shows_in_the_colours_of_the_page(page: Page) -> None:
    """Ground and letters are the dark page's, and no mark has a colour of light pages."""
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(22, 24, 28)"
    for figure in page.locator("figure").all():
        (card,) = [card for card in figure.locator(".card").all() if card.is_visible()]
        assert card.evaluate("card => getComputedStyle(card).backgroundColor") == ground
        fills = card.evaluate(
            "c => [...new Set([...c.querySelectorAll('svg, svg *')].map(e => getComputedStyle(e).fill))]"
        )
        assert "rgb(228, 230, 234)" in fills and not {"rgb(0, 0, 0)", "rgb(255, 255, 255)"} & {*fills}


@pytest.mark.parametrize("context", [(360, "light", True), (1280, "light", True)], indirect=True, ids=("phone", "wide"))
def test_labels_of_figures_fit_also_without_their_font(page: Page) -> None:
    """None is cut and none lies on another; of letters that are farther apart the same check finds some that do."""
    check = """([font, apart]) => [...document.querySelectorAll('figure svg[role=img]')].flatMap(svg => {
        if (!svg.checkVisibility()) return []
        svg.setAttribute('font-family', font); svg.style.letterSpacing = apart
        const edge = svg.getBoundingClientRect()
        const texts = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()])
        return texts.flatMap(([text, box], k) => [
            ...box.left < edge.left - 1 || box.right > edge.right + 1 ? [`${text} is cut`] : [],
            ...texts.slice(0, k).filter(([, other]) =>
                Math.min(box.right, other.right) - Math.max(box.left, other.left) > 1.5 &&
                Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top) > 2.5
            ).map(([other]) => `${text} lies on ${other}`)]) })"""
    for font in ("DejaVu Sans", "sans-serif", "serif"):
        assert page.evaluate(check, [font, "normal"]) == [], font
    assert page.evaluate(check, ["DejaVu Sans", "3px"])


def test_a_figure_in_fewer_bytes_looks_the_same(browser: Browser, tmp_path: Path) -> None:
    with style.style():
        figure = style.figure(style.WIDE, 2.5, "Title", "what is below it")
        axes = figure.subplots()
        axes.errorbar([1, 2, 3], [3, -1, 2], yerr=0.5, capsize=2, marker="D", mfc="white", label="bars")
        axes.fill_between([1, 2, 3], [2, 0, 1], alpha=0.2)
        axes.plot([1, 2.5], [0, 1], "s", color="#D55E00", mec="black", label="points")
        axes.plot([1, 1.05, 1.1], [0, 2, 0], lw=5)
        axes.set(ylabel="Error (%)", title="Panel")
        figure.legend(loc="outside lower center")
    pixels = []
    for name, content in (("short", style.svg(figure)), ("whole", style._save(figure, "svg"))):
        (tmp_path / f"{name}.svg").write_bytes(content)
        opened = browser.new_page(viewport={"width": 700, "height": 260})
        opened.goto((tmp_path / f"{name}.svg").as_uri())
        pixels.append(imread(io.BytesIO(opened.screenshot())))
        opened.close()
    assert pixels[0].std() > 0.05 and np.abs(pixels[0] - pixels[1]).max() < 0.4


@pytest.mark.parametrize("context", [(w, s, True) for w in (360, 1280) for s in ("light", "dark")], indirect=True)
def test_text_stands_out_from_its_background(page: Page) -> None:
    """Contrast of at least 4.5 to 1 (WCAG 2, AA) for every text outside figures."""
    low = page.evaluate(
        """() => {
        const light = c => { const [r, g, b] = c.match(/[0-9.]+/g).map(v => v / 255)
            .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b }
        const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor
            if (c != 'rgba(0, 0, 0, 0)') return c } return 'rgb(255, 255, 255)' }
        const low = new Set()
        for (const e of document.querySelectorAll('body *:not(svg *)')) {
            if (![...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()) || !e.checkVisibility()) continue
            const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x)
            const ratio = (a + .05) / (b + .05)
            if (ratio < 4.5) low.add(`${e.tagName}.${e.className} ${ratio.toFixed(2)} ${e.textContent.slice(0, 30)}`)
        }
        return [...low] }"""
    )
    assert low == []


def test_provenance_opens_by_click_and_by_keyboard(page: Page) -> None:
    fold = page.locator(".cells > details").first
    inside, summary = fold.locator(".inside"), fold.locator("summary")
    assert not inside.is_visible()
    summary.click()
    assert inside.is_visible() and "commit cccccccccc" in inside.inner_text()
    summary.focus()
    page.keyboard.press("Enter")
    assert not inside.is_visible()
    page.keyboard.press("Space")
    assert inside.is_visible()


def test_the_skip_link_comes_first_and_focus_is_seen(page: Page) -> None:
    page.keyboard.press("Tab")
    skip = page.locator(".skip")
    assert skip.evaluate("link => link === document.activeElement") and skip.bounding_box()["x"] >= 0  # type: ignore[index]
    assert skip.evaluate("link => getComputedStyle(link).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


@pytest.mark.parametrize(
    "context", [(1280, "light", False), (360, "light", False)], indirect=True, ids=("wide", "phone")
)
def test_a_number_leads_to_its_runs_without_javascript(page: Page, address: str) -> None:
    cell = fixture.run(3, 0.5).cell_id
    inside = page.locator(f"#cell-{cell}")
    assert not inside.is_visible()
    page.locator(f".groups-table a[href='#cell-{cell}']").click()
    assert inside.is_visible() and fixture.run(3, 0.5).run_id in inside.inner_text()
    assert page.url == f"{address}#cell-{cell}"
    verdict = page.locator(".verdict").first
    assert not verdict.locator(".more").is_visible()
    verdict.locator("summary").click()
    assert "adjusted over the study’s claims 0.005" in verdict.locator(".more").inner_text()
    assert page.said == []  # type: ignore[attr-defined]


def test_the_policy_stops_a_script_and_an_image(page: Page) -> None:
    """Were a text from data ever read as markup, the page's policy would still let it do nothing."""
    page.evaluate(
        """() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s)
            const i = new Image(); i.src = 'https://example.invalid/x.png'; document.body.append(i) }"""
    )
    page.wait_for_timeout(100)
    assert page.evaluate("window.ran") is None
    assert sum("Content Security Policy" in text for text in page.said) >= 2  # type: ignore[attr-defined]


def test_it_prints(page: Page) -> None:
    """Both studies on at most five sheets; what folds out on the screen is not printed, also where it is open."""
    page.locator(".verdict").first.locator("summary").click()
    content = page.pdf(format="A4", prefer_css_page_size=True)
    sheets = content.count(b"/Type /Page\n") + content.count(b"/Type /Page ")
    assert content.startswith(b"%PDF") and 2 <= sheets <= 5, sheets
    page.emulate_media(media="print")
    hidden = (".verdict .more", ".recipe", ".copy", ".cells")
    assert not any(page.locator(part).first.is_visible() for part in ("nav", *hidden))
    assert page.locator(".scope").first.is_visible() and page.locator(".says").first.is_visible()
    page.set_viewport_size({"width": 690, "height": 900})  # A4 less its margins
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_headings_regions_and_images_have_names(page: Page) -> None:
    tree = page.locator("body").aria_snapshot()
    assert 'heading "Do the paper’s claims hold here?" [level=3]' in tree and 'navigation "Contents"' in tree
    assert 'region "Table 2. Top-1 error (%) against number of groups"' in tree
    assert 'img "Error against number of groups"' in tree and 'img "effect +2.3 percentage points' in tree
    assert 'rowheader "ShuffleNet 1x"' in tree and 'columnheader "g=8"' in tree
