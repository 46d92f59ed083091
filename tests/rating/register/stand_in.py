"""A companies register to talk to: real sockets, the published shapes, and the moods that the real one has.

Shapes and codes as published by Companies House (public data API and document API): a 401 without the key, a 404 for
what there is not, a 429 with X-Ratelimit-Reset beyond the limit, a redirect from a document's content to a store that
refuses a second set of credentials.
"""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "a-key-of-the-tests"
DOCUMENT = "dHyUGgWlY_P8tNZGxYZiGqvVGgYEhGYnPYa4t5ttY5M"
STORE = "/docs/signed?X-Amz-Signature=0f"


def profile(number: str, **changes: Any) -> dict[str, Any]:
    """Return a companyProfile with every member that the register sends to a company like this."""
    told = {
        "company_name": "THORNFIELD CASTINGS LTD",
        "company_number": number,
        "company_status": "active",
        "type": "ltd",
        "jurisdiction": "england-wales",
        "date_of_creation": "2010-02-11",
        "accounts": {
            "accounting_reference_date": {"day": "31", "month": "12"},
            "last_accounts": {"made_up_to": "2024-12-31", "period_end_on": "2024-12-31",
                              "period_start_on": "2024-01-01", "type": "micro-entity"},
            "next_accounts": {"due_on": "2026-09-30", "overdue": False, "period_end_on": "2025-12-31",
                              "period_start_on": "2025-01-01"},
            "next_due": "2026-09-30", "next_made_up_to": "2025-12-31", "overdue": False,
        },
        "confirmation_statement": {"last_made_up_to": "2025-02-11", "next_due": "2026-02-25",
                                   "next_made_up_to": "2026-02-11", "overdue": False},
        "registered_office_address": {"address_line_1": "1 Foundry Lane", "locality": "Leeds",
                                      "postal_code": "LS1 1AA"},
        "sic_codes": ["24510"],
        "has_charges": False, "has_insolvency_history": False, "has_been_liquidated": False, "can_file": True,
        "etag": "5f1a", "links": {"self": f"/company/{number}"},
    }  # fmt: skip
    return told | changes


def accounts_item(made_up_to: str, document: str | None = DOCUMENT, kind: str = "AA", **changes: Any) -> dict[str, Any]:
    """Return one item of a filingHistoryList."""
    link = "https://frontend-doc-api.company-information.service.gov.uk/document/"
    return {
        "category": "accounts", "type": kind, "date": "2025-09-12", "action_date": made_up_to, "pages": 4,
        "barcode": "XCE3V6N1", "transaction_id": f"MzQ3{made_up_to.replace('-', '')}YWRpcXprY3g",
        "description": "accounts-with-accounts-type-micro-entity",
        "description_values": {"made_up_date": made_up_to},
        "links": {"self": "/company/x/filing-history/y"} | ({"document_metadata": link + document} if document else {}),
    } | changes  # fmt: skip


def history(*items: dict[str, Any]) -> dict[str, Any]:
    """Return a filingHistoryList."""
    return {"items": list(items), "items_per_page": 100, "start_index": 0, "total_count": len(items),
            "kind": "filing-history", "filing_history_status": "filing-history-available", "etag": "9c"}  # fmt: skip


def charge_list(total: int, satisfied: int) -> dict[str, Any]:
    """Return a chargeList."""
    return {"total_count": total, "unfiltered_count": total, "satisfied_count": satisfied, "part_satisfied_count": 0,
            "etag": "7b", "items": [{"status": "outstanding", "created_on": "2023-04-01", "charge_number": 1,
                                     "classification": {"type": "charge-description", "description": "A charge"},
                                     "persons_entitled": [{"name": "A Bank plc"}]}]}  # fmt: skip


def insolvency(kind: str = "creditors-voluntary-liquidation", on: str = "2026-01-19") -> dict[str, Any]:
    """Return a companyInsolvency, with the practitioner whose name is not to be kept."""
    return {"etag": "1d", "status": ["liquidation"],
            "cases": [{"number": "1", "type": kind, "dates": [{"type": "wound-up-on", "date": on}],
                       "practitioners": [{"name": "Pat Practitioner", "role": "practitioner",
                                          "address": {"address_line_1": "2 Court Row"}}]}]}  # fmt: skip


def metadata(*kinds: str) -> dict[str, Any]:
    """Return a document's metadata."""
    return {"company_number": "07100001", "category": "accounts", "pages": 4, "barcode": "XCE3V6N1", "filename": "",
            "significant_date": "2025-12-31T00:00:00Z", "significant_date_type": "made-up-date",
            "created_at": "2025-09-12T10:00:24.80683293Z", "etag": "",
            "links": {"self": "https://document-api.companieshouse.gov.uk/document/x",
                      "document": "https://document-api.companieshouse.gov.uk/document/x/content"},
            "resources": {kind: {"content_length": 1_000} for kind in kinds}}  # fmt: skip


@dataclass
class StandIn:
    """What the register knows, by path, and how it feels today."""

    url: str = ""
    pages: dict[str, Any] = field(default_factory=dict)
    content: bytes = b""
    key: str = KEY
    limit: int | None = None
    reset_at: str = ""
    code: int | None = None
    store: str | None = None
    asked: list[str] = field(default_factory=list)
    queries: list[dict[str, list[str]]] = field(default_factory=list)

    def knows(self, number: str, told: dict[str, Any] | None = None, *items: dict[str, Any]) -> None:
        """Put a company into the register."""
        self.pages[f"/company/{number}"] = told or profile(number)
        self.pages[f"/company/{number}/filing-history"] = history(*items)

    def holds(self, content: bytes, *kinds: str) -> None:
        """Put the document of DOCUMENT into the register's store."""
        self.content = content
        self.pages[f"/document/{DOCUMENT}"] = metadata(*(kinds or ("application/pdf", "application/xhtml+xml")))


@contextmanager
def serving() -> Iterator[StandIn]:
    """Run a stand-in on a port of its own."""
    stand_in = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(stand_in, self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stand_in.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(register: StandIn, handler: BaseHTTPRequestHandler) -> None:
    parts = urlsplit(handler.path)
    register.asked.append(parts.path)
    register.queries.append(parse_qs(parts.query))
    sent = handler.headers.get("Authorization")
    if parts.path == urlsplit(STORE).path:
        # The store accepts one kind of credentials only: the signature in the address.
        return _send(handler, 400 if sent else 200, register.content, handler.headers["Accept"])
    expected = "Basic " + base64.b64encode(f"{register.key}:".encode()).decode()
    if sent != expected:
        return _send(handler, 401, b'{"error":"Invalid Authorization","type":"ch:service"}')
    if register.limit is not None and len(register.asked) > register.limit:
        return _send(handler, 429, b"", **{"X-Ratelimit-Reset": register.reset_at})
    if register.code:
        return _send(handler, register.code, b"<html>upstream</html>", "text/html")
    if parts.path.endswith("/content"):
        if handler.headers["Accept"] not in register.pages[parts.path.removesuffix("/content")]["resources"]:
            return _send(handler, 406, b"")
        return _send(handler, 302, b"", Location=register.store or register.url + STORE)
    told = register.pages.get(parts.path)
    if told is None:
        return _send(handler, 404, b'{"errors":[{"error":"company-profile-not-found","type":"ch:service"}]}')
    return _send(handler, 200, told if isinstance(told, bytes) else json.dumps(told).encode())


def _send(handler: BaseHTTPRequestHandler, code: int, body: bytes, kind: str = "application/json", **headers: str
          ) -> None:  # fmt: skip
    handler.send_response(code)
    for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)
