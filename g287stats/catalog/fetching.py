"""Fetch one file: no larger and no longer than was agreed, and never a page instead of the file."""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any

from g287stats.errors import Problems

_CHUNK = 1 << 16
PATIENCE = 10
"""The whole file may take this many times the longest silence."""


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follow a redirection only to another http or https address, and never from https back to http."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        allowed = ("https://",) if req.full_url.startswith("https://") else ("http://", "https://")
        if not newurl.lower().startswith(allowed):
            raise urllib.error.URLError(f"the server sends on to {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(url: str, target: Path, max_bytes: int, timeout: float, problems: Problems) -> Path | None:
    """Fetch ``url`` into ``target``; on any failure record it in ``problems``, remove the file and return None."""
    deadline = time.monotonic() + PATIENCE * timeout
    opener = urllib.request.build_opener(_WebOnly, urllib.request.HTTPSHandler(context=_certificates()))
    try:
        with opener.open(url, timeout=timeout) as answer, target.open("wb") as out:
            _copy(answer, out, max_bytes, deadline)
        with target.open("rb") as handle:
            if handle.read(512).lstrip().lower().startswith((b"<!doctype html", b"<html")):
                raise OSError("the server answered with a page, not the file")
    except (OSError, http.client.HTTPException, ValueError) as error:
        target.unlink(missing_ok=True)
        why = getattr(error, "reason", None) or error
        problems.add(
            f"{target.name}: not fetched ({type(error).__name__}: {why})",
            remedy="Check the address in a browser; a file saved by hand can be added: g287stats data add",
        )
        return None
    return target


def _copy(answer: Any, out: IO[bytes], max_bytes: int, deadline: float) -> None:
    announced = answer.headers.get("Content-Length")
    if announced and announced.isdigit() and int(announced) > max_bytes:
        raise OSError(f"{int(announced):,} bytes are announced; at most {max_bytes:,} are expected")
    total = 0
    while chunk := answer.read1(_CHUNK):
        total += len(chunk)
        if total > max_bytes:
            raise OSError(f"more than the expected {max_bytes:,} bytes arrive")
        if time.monotonic() > deadline:
            raise TimeoutError(f"only {total:,} bytes arrived in the time allowed")
        out.write(chunk)
    if announced and announced.isdigit() and total != int(announced):
        raise OSError(f"{total:,} of {int(announced):,} bytes arrived")


def _certificates() -> ssl.SSLContext:
    try:
        import certifi
    except ImportError:
        return ssl.create_default_context()
    return ssl.create_default_context(cafile=certifi.where())
