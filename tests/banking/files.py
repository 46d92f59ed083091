"""Bank files as banks write them, made of few words."""

from collections.abc import Sequence

IBAN = "GB33BUKB20201555555555"
OTHER = "DE89370400440532013000"
SPACE = "urn:iso:std:iso:20022:tech:xsd:{kind}.001.{version}"


def entry(
    key: str, amount: str, *, currency: str = "GBP", into: bool = True, reversal: bool = False, rf: str = "",
    text: str = "", state: str = "BOOK", names: Sequence[tuple[str, str]] = (), parts: str = "", on: str = "2026-11-20",
    sender: tuple[str, str] | None = None, returned: str = "", batch: str = "", number: str = "",
) -> str:  # fmt: skip
    """One entry, by the bank's reference (`key`) or by its number only.

    `parts` replaces its only transaction; `returned` is the reason of one that came back.
    """
    refs = "".join(f"<{tag}>{name}</{tag}>" for tag, name in names)
    strd = f"<Strd><CdtrRefInf><Ref>{rf}</Ref></CdtrRefInf></Strd>" if rf else ""
    ustrd = f"<Ustrd>{text}</Ustrd>" if text else ""
    sent = sender or ("", "")
    who = f"<RltdPties><Dbtr><Nm>{sent[0]}</Nm></Dbtr><DbtrAcct><Id><IBAN>{sent[1]}</IBAN></Id></DbtrAcct></RltdPties>"
    back = f"<RtrInf><Rsn><Cd>{returned}</Cd></Rsn></RtrInf>" if returned else ""
    one = f"<TxDtls><Refs>{refs}</Refs>{who if sender else ''}<RmtInf>{ustrd}{strd}</RmtInf>{back}</TxDtls>"
    if batch:
        one = f"<Btch><PmtInfId>{batch}</PmtInfId></Btch>"
    said = f"<AcctSvcrRef>{key}</AcctSvcrRef>" if key else ""
    counted = f"<NtryRef>{number}</NtryRef>" if number else ""
    return (
        f'<Ntry>{counted}<Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>{"CRDT" if into else "DBIT"}</CdtDbtInd>'
        f"{'<RvslInd>true</RvslInd>' if reversal else ''}<Sts><Cd>{state}</Cd></Sts><BookgDt><Dt>{on}</Dt></BookgDt>"
        f"{said}<NtryDtls>{parts or one}</NtryDtls></Ntry>"
    )


def part(amount: str, rf: str, currency: str = "GBP") -> str:
    """One transaction of a batch."""
    return (
        f'<TxDtls><Amt Ccy="{currency}">{amount}</Amt><RmtInf><Strd><CdtrRefInf><Ref>{rf}</Ref></CdtrRefInf></Strd>'
        "</RmtInf></TxDtls>"
    )


def balance(code: str, amount: str, into: bool = True, currency: str = "GBP") -> str:
    """An opening (OPBD) or closing (CLBD) balance."""
    return (
        f'<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy="{currency}">{amount}</Amt>'
        f"<CdtDbtInd>{'CRDT' if into else 'DBIT'}</CdtDbtInd><Dt><Dt>2026-11-20</Dt></Dt></Bal>"
    )


def camt(
    *entries: str, message: str = "M-1", kind: str = "camt.053", version: str = "08", iban: str = IBAN,
    balances: str = "", currency: str = "",
) -> bytes:  # fmt: skip
    """A file of one report."""
    body, report = ("BkToCstmrStmt", "Stmt") if kind == "camt.053" else ("BkToCstmrDbtCdtNtfctn", "Ntfctn")
    account = f"<Acct><Id><IBAN>{iban}</IBAN></Id>{f'<Ccy>{currency}</Ccy>' if currency else ''}</Acct>"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><Document xmlns="{SPACE.format(kind=kind, version=version)}"><{body}>'
        f"<GrpHdr><MsgId>{message}</MsgId><CreDtTm>2026-11-20T18:00:00Z</CreDtTm></GrpHdr>"
        f"<{report}><Id>1</Id>{account}{balances}{''.join(entries)}</{report}></{body}></Document>"
    ).encode()
