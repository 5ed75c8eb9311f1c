"""The NCVS Select API against a server on the loopback: paging, counts, refusals."""

import http.server
import threading
import urllib.parse

import pytest

from g287stats.errors import DesignError, UnavailableError
from g287stats.outcomes.ncvs.files import read_ncvs
from g287stats.outcomes.ncvs.select import SELECT, fetch_select

ROWS = [f'"{"1" * 24}{n}",2012.1,2012,{n % 2 + 1},1.5' for n in range(10)]
HEADER = "idper,yearq,year,hispanic,wgtpercy"


@pytest.fixture
def server():
    asked = []

    class Api(http.server.BaseHTTPRequestHandler):
        broken = False

        def do_GET(self):
            q = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
            asked.append(q)
            if "$select" in q:
                text = f"rows\n{len(ROWS)}\n"
            else:
                first = int(q.get("$offset", 0))
                last = first + min(int(q.get("$limit", 1000)), 2 if Api.broken else 1000)
                text = "\n".join([HEADER, *ROWS[first:last]]) + "\n"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    httpd = http.server.HTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}", asked, Api
    httpd.shutdown()


def test_pages_are_put_together(server, tmp_path):
    address, asked, _ = server
    path = tmp_path / "select.csv"
    file = fetch_select("personal_population", address=address, page=4, where="year = 2012", save=path)
    assert len(file.frame) == 10
    assert file.table == "select_personal_population"
    assert [q.get("$offset") for q in asked] == [None, "0", "4", "8"]
    assert all(q["$order"] == ":id" for q in asked[1:])
    assert all(q["$where"] == "year = 2012" for q in asked)
    assert file.frame.idper.str.len().eq(25).all()
    again = read_ncvs(path)
    assert again.frame.idper.tolist() == file.frame.idper.tolist()


def test_rows_that_did_not_arrive_are_an_error(server):
    address, _, api = server
    api.broken = True
    with pytest.raises(UnavailableError, match="6 rows arrived of 10"):
        fetch_select("personal_population", address=address, page=4)


def test_refusals():
    with pytest.raises(DesignError, match="personal_population"):
        fetch_select("county")
    with pytest.raises(UnavailableError, match="Save the table's CSV by hand"):
        fetch_select("personal_population", address="http://127.0.0.1:9", timeout=2)
    assert len(SELECT) == 4
