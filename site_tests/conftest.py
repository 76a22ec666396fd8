"""The built site, served from this machine, and one browser that looks at it."""

import gzip
import shutil
import threading
from functools import cache
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median

import pytest
from playwright.sync_api import Error, sync_playwright
from visits import Visit, visit

# What was seen so far, by address.
VISITS: dict[str, Visit] = {}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# No sandbox: root of a container has none. No name but this machine is known to the browser.
ARGUMENTS = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
COMPRESSED = {".html", ".css", ".js", ".json", ".svg", ".xml"}


def pytest_addoption(parser):
    parser.addoption("--site", default="site", help="the folder of the built site")


def site_folder(config) -> Path:
    site = Path(config.getoption("--site")).resolve()
    if not (site / "index.html").is_file():
        raise pytest.UsageError(f"no built site in {site}: run `nox -s docs` first")
    return site


def addresses(site: Path) -> list[str]:
    """Every page of the site, by its address below the root."""
    return sorted(
        path.relative_to(site).as_posix().removesuffix("index.html")
        for path in site.rglob("*.html")
    )


def pytest_generate_tests(metafunc):
    """Hold a law about a page for every page."""
    if "address" in metafunc.fixturenames:
        pages = addresses(site_folder(metafunc.config))
        metafunc.parametrize("address", pages, ids=[page or "home" for page in pages])


@cache
def squeezed(path: Path) -> bytes:
    return gzip.compress(path.read_bytes())


class Handler(SimpleHTTPRequestHandler):
    """A server as hosts of static sites have it: text compressed, connections kept."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        path = path / "index.html" if path.is_dir() else path
        if path.suffix not in COMPRESSED or not path.is_file():
            return super().do_GET()
        body = squeezed(path)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="session")
def site(pytestconfig):
    """The folder of the built site."""
    return site_folder(pytestconfig)


@pytest.fixture(scope="session")
def root(site):
    """The address of the served site."""

    def handler(*arguments):
        return Handler(*arguments, directory=site)

    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def launch():
    """A function that starts Chromium without a window: the system's, or else Playwright's own."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:

        def launch(*arguments):
            options = {"executable_path": found, "args": [*ARGUMENTS, *arguments]}
            try:
                return playwright.chromium.launch(**options)
            except Error:
                pytest.skip("no Chromium here: install one, or run `playwright install chromium`")

        yield launch


@pytest.fixture(scope="session")
def browser(launch):
    """The browser that looks at the site."""
    browser = launch()
    yield browser
    browser.close()


@pytest.fixture
def run_module(browser, root):
    """What runs JavaScript with a module of the site.

    `run_module("explore/state.js")` gives a function, which takes the source of one of the module
    and of an argument, and the argument. `root` is the site's address there.
    """
    page = browser.new_page()
    page.goto(root)

    def with_module(path):
        def run(function, argument=None):
            return page.evaluate(
                f"""async ([root, path, argument]) => {{
                    const module = await import(new URL(path, root));
                    return ({function})(module, argument);
                }}""",
                [root, path, argument],
            )

        return run

    yield with_module
    page.close()


@pytest.fixture
def seen(browser, root, address):
    """What a visit to the page gave: one visit serves all laws."""
    if address not in VISITS:
        VISITS[address] = visit(browser, root + address)
    return VISITS[address]


def pytest_terminal_summary(terminalreporter):
    """Say how quick the site was. That is no law: it depends on what else the machine does."""
    if VISITS:
        for what in ("first_paint", "load"):
            times = {address: getattr(one, what) for address, one in VISITS.items()}
            slowest = sorted(times, key=times.get, reverse=True)[:5]
            terminalreporter.write_line(
                f"{what}: median {median(times.values()):.0f} ms; slowest "
                + ", ".join(f"{address or 'home'} {times[address]:.0f}" for address in slowest)
            )
        heaviest = max(VISITS, key=lambda address: sum(VISITS[address].bytes.values()))
        size = sum(VISITS[heaviest].bytes.values())
        terminalreporter.write_line(f"heaviest page: {heaviest}, {size:,} bytes on the wire")
