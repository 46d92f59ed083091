"""Who may do what: one table for every verb of every room, and whose things are whose."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.errors import NotFound
from marketplace.kernel.words import N_
from marketplace.perform import Result, Tx, Verb

SELLER = frozenset({Role.SELLER})
INVESTOR = frozenset({Role.INVESTOR})
OPERATOR = frozenset({Role.OPERATOR})
REGULATOR = frozenset({Role.REGULATOR})
DEBTOR = frozenset({Role.DEBTOR})
SYSTEM = frozenset({Role.SYSTEM})
DESK = OPERATOR | SYSTEM
PEOPLE = SELLER | INVESTOR | OPERATOR | REGULATOR

MAY: dict[str, frozenset[Role]] = {
    # parties
    "register_organisation": DESK,
    "register_user": DESK,
    "suspend_organisation": DESK,
    "reinstate_organisation": DESK,
    "suspend_user": DESK,
    "reinstate_user": DESK,
    "relate_organisations": DESK,
    "end_relation": DESK,
    "create_api_key": INVESTOR,
    "end_api_key": INVESTOR | DESK,
    "sign_in": SYSTEM,
    "refuse_sign_in": SYSTEM,
    "sign_out": PEOPLE | SYSTEM,
    # receivables
    "draft_receivable": SELLER,
    "list_receivable": SELLER,
    "withdraw_receivable": SELLER,
    "relist_receivable": SELLER,
    "renew_keys": SYSTEM,
    "upload_document": SELLER,
    "begin_bulk_upload": SELLER,
    "keep_bulk_pieces": SELLER,
    "seal_bulk_upload": SELLER,
    "unpack_bulk_upload": SYSTEM,
    "take_bulk_rows": SYSTEM,
    "note_bulk_rows": SYSTEM,
    "correct_bulk_rows": SELLER,
    "list_bulk_rows": SELLER,
    "leave_bulk_rows": SELLER,
    "drop_bulk_upload": SELLER | SYSTEM,
    "clear_bulk_upload": SYSTEM,
    "issue_debtor_link": SELLER | DESK,
    "open_debtor_link": DEBTOR | SYSTEM,
    "confirm_receivable": DEBTOR,
    "accept_evidence": OPERATOR,
    "dispute_receivable": DEBTOR | OPERATOR,
    "resolve_dispute": OPERATOR,
    "acknowledge_notice": DEBTOR,
    "write_notice": SYSTEM,
    "promise_payment": DEBTOR | OPERATOR,
    "set_debtor_contact": OPERATOR,
    "issue_debts_link": DESK,
    "ask_for_debts_link": DEBTOR,
    "renew_debtor_link": DEBTOR,
    "revoke_debtor_link": OPERATOR,
    "answer_many": DEBTOR,
    "answer_one": DEBTOR,
    "keep_credit_note": SELLER | OPERATOR,
    "record_dilution": SELLER | OPERATOR,
    "confirm_dilution": DEBTOR,
    "approve_dilution": OPERATOR,
    "refuse_dilution": SELLER | OPERATOR | DEBTOR,
    "release_review": OPERATOR,
    "reject_receivable": DESK,
    "expire_receivable": SYSTEM,
    "expire_links": SYSTEM,
    # rating
    "file_accounts": SELLER | DESK,
    "rate_receivable": DESK,
    "rate_party": DESK,
    "record_register_answer": SYSTEM,
    "note_register_trouble": SYSTEM,
    "note_register_document": SYSTEM,
    "note_register_line": SYSTEM,
    "ask_register_again": OPERATOR,
    "propose_override": OPERATOR,
    "decide_override": OPERATOR,
    "note_payments": SYSTEM,
    "note_watch": SYSTEM,
    "note_outcomes": SYSTEM,
    "note_learning": SYSTEM,
    "decide_model": OPERATOR,
    "withdraw_model": OPERATOR,
    # payments
    "fund_account": INVESTOR | SELLER,
    "withdraw_cash": INVESTOR | SELLER,
    "start_debtor_payment": DEBTOR,
    "receive_event": SYSTEM,
    "settle_event": SYSTEM,
    "postpone_event": SYSTEM,
    "claim_call": SYSTEM,
    "confirm_call": SYSTEM,
    "fail_call": SYSTEM,
    "park_call": SYSTEM,
    "retry_call": DESK,
    "close_alert": OPERATOR,
    "start_payout": SYSTEM,
    "send_payout_again": OPERATOR,
    "reconcile": DESK,
    # banking
    "take_bank_file": DESK,
    "reconcile_bank": DESK,
    # trading
    "open_lot": DESK,
    "place_bid": INVESTOR,
    "place_bids": INVESTOR,
    "name_lots": INVESTOR,
    "withdraw_bid": INVESTOR,
    "close_lot": SYSTEM,
    "close_lots": SYSTEM,
    "open_session": DESK,
    "set_session_caps": INVESTOR,
    "seal_session": SYSTEM,
    "close_session": SYSTEM,
    "create_mandate": INVESTOR,
    "pause_mandate": INVESTOR,
    "resume_mandate": INVESTOR,
    "end_mandate": INVESTOR,
    "cancel_lot": DESK,
    "reject_award": OPERATOR,
    "accept_award": SELLER | SYSTEM,
    "refuse_award": SELLER | SYSTEM,
    "expire_award": SYSTEM,
    # servicing
    "settle_award": SYSTEM,
    "apply_debtor_payment": SYSTEM,
    "reverse_receipt": SYSTEM,
    "propose_manual_entry": OPERATOR,
    "propose_suspense": OPERATOR,
    "propose_period_close": OPERATOR,
    "propose_payout_file": OPERATOR,
    "propose_payout_rail": OPERATOR,
    "propose_payout_refused": OPERATOR,
    "propose_bank_suspense": OPERATOR,
    "decide_money": OPERATOR,
    "cover_dilution": SELLER,
    "age_receivable": SYSTEM,
    "default_receivable": DESK,
    "write_off_receivable": OPERATOR,
    "demand_buy_back": DESK,
    "withdraw_demand": OPERATOR,
    "buy_back_receivable": SELLER | DESK,
    "offer_holding": INVESTOR,
    "withdraw_offer": INVESTOR,
    "accept_offer": INVESTOR,
    "expire_offer": SYSTEM,
    # exchange
    "check_claims": SYSTEM,
    "record_exchange_answer": SYSTEM,
    "note_registry": SYSTEM,
    "trust_issuer": DESK,
    "import_claims": DESK,
    "export_claims": DESK,
    "open_registry": SYSTEM,
    "add_peer": SYSTEM,
    "revoke_peer": SYSTEM,
    "answer_peer": SYSTEM,
    "sweep_registry": SYSTEM,
    # the clock
    "run_job_again": DESK,
    # audit and supervision
    "look_up": REGULATOR | DESK,
    "export_bundle": REGULATOR | DESK,
    "replay_auction": REGULATOR | DESK,
}


def verb(name: str) -> Callable[[Callable[[Tx, Any], Result]], Verb]:
    """Make a function a verb of this name, with the roles that MAY lists.

    Raises: KeyError at import when the name is not in MAY.
    """
    roles = MAY[name]

    def made(run: Callable[[Tx, Any], Result]) -> Verb:
        return Verb(name=name, run=run, roles=roles)

    return made


def require_own(actor: Actor, organisation_id: UUID | None) -> None:
    """Let the actor through to what belongs to an organisation: its own people, operators and the system.

    Raises: NotFound("not_found"): from outside, another's thing and no thing look alike.
    """
    if actor.role in DESK:
        return
    if organisation_id is None or actor.organisation_id != organisation_id:
        raise NotFound("not_found", N_("There is no such thing, or you may not see it."))
