"""The business numbers, as rules receive them. Read from `config/policy.toml` by the app and handed down."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

HALF_YEAR = re.compile(r"2\d\d\d-0[17]-01", re.ASCII)


@dataclass(frozen=True)
class Listing:
    """What may be listed."""

    tenor_days_min: int
    tenor_days_max: int
    face_minor_min: int
    face_minor_max: int
    document_bytes_max: int
    confirmation_days: int
    link_days: int
    debtor_share_bps_max: int


@dataclass(frozen=True)
class Bulk:
    """How much may be sent at once."""

    rows_max: int
    files_max: int
    bytes_max: int
    inflated_bytes_max: int
    inflation_max: int
    receiving_days: int


@dataclass(frozen=True)
class Auction:
    """How lots are sold: the numbers behind UPM-1."""

    open_minutes: int
    lot_size_minor: int
    bid_minor_min: int
    group_cap_bps: int
    single_financier_cap_bps: int
    min_share_bps: int
    reserve_bps: int
    reserve_bps_max: int
    reserve_over_indicative_bps: int
    decision_minutes: int
    held_hours_max: int
    call_hours: tuple[int, ...]
    price_rule: str
    late_seconds: int
    extend_seconds: int
    extensions_max: int
    improve_only_seconds: int


@dataclass(frozen=True)
class Fees:
    """What the platform earns."""

    platform_bps: int
    late_bps_over_award: int


@dataclass(frozen=True)
class Secondary:
    """How holdings change hands between investors."""

    open_hours: int
    open_hours_max: int
    first_refusal_hours: int
    fee_bps: int


@dataclass(frozen=True)
class Collection:
    """Days from the due date to each step of collection."""

    reminder_days_before: int
    overdue_days: int
    recourse_days: int
    buy_back_days: int
    par_days: int
    delinquent_days: int
    recovery_days: int
    default_days: int
    write_off_days: int
    lateness_days: int


@dataclass(frozen=True)
class LateInterest:
    """What the law lets us claim of a late debtor: references by half-year, fixed sums by size of the debt."""

    margin_bps: int
    gb_countries: tuple[str, ...]
    gb_reference: tuple[tuple[str, int], ...]
    gb_compensation: tuple[tuple[int, int], ...]
    eu_countries: tuple[str, ...]
    eu_reference: tuple[tuple[str, int], ...]
    eu_compensation: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        for name in ("gb_reference", "eu_reference"):
            for row in getattr(self, name):
                if len(row) != 2 or not HALF_YEAR.fullmatch(str(row[0])) or type(row[1]) is not int or row[1] < 0:
                    raise ValueError(f"policy.late_interest.{name}: a line is a half-year and basis points, not {row}")
        for name in ("gb_compensation", "eu_compensation"):
            rows = getattr(self, name)
            sound = all(len(row) == 2 and all(type(one) is int and one >= 0 for one in row) for row in rows)
            if not rows or not sound or rows[0][0] != 0 or list(rows) != sorted(rows):
                raise ValueError(f"policy.late_interest.{name}: lines rise from a debt of 0")


@dataclass(frozen=True)
class Exchange:
    """How claims are told apart from other markets' claims; a registry and its peers share the last five numbers."""

    registry_required: bool
    lease_days: int
    renew_days: int
    ask_again_hours: int
    clock_skew_seconds: int
    batch_max: int
    requests_per_minute_max: int
    claims_per_hour_max: int


@dataclass(frozen=True)
class Rating:
    """From figures to PD, from PD to price. Assumptions are labelled so in the file."""

    pd_prior_ppm: int
    pd_stress_ppm: int
    pd_floor_ppm: int
    lgd_ppm: int
    dilution_ppm: int
    fraud_ppm: int
    recourse_effect_ppm: int
    correlation_ppm: int
    base_rate_bps: int
    risk_premium_bps: int
    advance_bps_max: int
    haircut_ppm_min: int
    filing_months_max: int
    accounts_due_months: int
    accounts_overdue_ppm: int
    behaviour_prior_days: int
    behaviour_late_ppm: int
    lateness_prior_count: int
    lateness_sd_days: int
    late_warning_days: int
    late_warning_ppm: int
    override_notches_max: int
    fall_notches: int
    psi_watch_ppm: int
    psi_alarm_ppm: int
    watch_count_min: int
    learning_window_days: int
    learning_rows_min: int
    learning_failures_min: int
    learning_judged_months: int
    learning_judged_failures_min: int
    grade_bounds_ppm: tuple[int, ...]


@dataclass(frozen=True)
class Session:
    """How long people stay signed in, and how often they may try."""

    idle_minutes: int
    absolute_hours: int
    sign_in_attempts_max: int
    posts_per_minute_max: int
    bids_per_minute_max: int


@dataclass(frozen=True)
class Policy:
    """All of it, with the version that deals store."""

    version: str
    zone: str
    country: str
    currencies: tuple[str, ...]
    listing: Listing
    bulk: Bulk
    auction: Auction
    fees: Fees
    secondary: Secondary
    collection: Collection
    late_interest: LateInterest
    exchange: Exchange
    rating: Rating
    session: Session


def parse(table: Mapping[str, Any]) -> Policy:
    """Build the policy from the parsed TOML.

    Raises: ValueError naming the key that is missing, unknown or of the wrong kind.
    """
    built: Policy = _build(Policy, table, "policy")
    return built


def _build(kind: type, table: Mapping[str, Any], where: str) -> Any:
    names = {f.name: f.type for f in fields(kind)}
    for name in names.keys() ^ table.keys():
        raise ValueError(f"{where}.{name} is {'missing' if name in names else 'not a known key'}")
    return kind(**{name: _value(names[name], table[name], f"{where}.{name}") for name in names})


def _value(kind: Any, value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        return _build(kind, value, where)
    if isinstance(value, list):
        return tuple(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{where} must be {kind.__name__}")
    return value
