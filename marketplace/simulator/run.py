"""One simulation: steps of people, provider, clock and weather; after every recovery all that must be true is asked."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.kernel.clock import utc_now
from marketplace.simulator import checks, roles, weather
from marketplace.simulator.acts import ACTS, WEIGHTS, Cast
from marketplace.simulator.children import Child, Died
from marketplace.simulator.place import OPEN_MINUTES, Place, standing

TRIES = 6
LISTINGS_FIRST, LISTINGS_NEXT, LISTING_EVERY = 4, 3, 20
DAY = timedelta(days=1)
STEP_MINUTES = (0, 0, 0, 1, 5, 12, 40)
LEAPS = (timedelta(hours=23), timedelta(days=1, hours=1), timedelta(days=4))
CALM_ACTS = ("fund", "fund", "fund", "fund", "confirm", "confirm", "confirm")
SETTLED_MIN = 3
WORK_HERE_MAX, ROUNDS_MAX = 6, 200
OUTCOMES = ("paid", "paid", "paid", "later", "later_fails", "declined")
Say = Callable[[str], None]


@dataclass
class Tally:
    """What happened, and whether it was borne."""

    steps: int = 0
    webhooks: int = 0
    kills: int = 0
    restarts: int = 0
    provider_faults: int = 0
    invariants: dict[str, bool] = field(default_factory=dict)
    acknowledged: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lost: int = 0
    doubled: int = 0

    def ok(self) -> bool:
        """Say whether nothing was lost, nothing done twice, and everything held that must."""
        return not self.wrong and not self.lost and not self.doubled and all(self.invariants.values())

    def record(self, seed: int, seconds: float) -> dict[str, Any]:
        """Return it as the command prints it."""
        return {
            "seed": seed, "steps": self.steps, "kills": self.kills, "restarts": self.restarts,
            "provider_faults": self.provider_faults, "webhooks": self.webhooks,
            "invariants": [{"name": name, "ok": ok} for name, ok in self.invariants.items()],
            "acknowledged_lost": self.lost, "effects_doubled": self.doubled, "seconds": round(seconds, 1),
        }  # fmt: skip


class Simulation:
    """One seeded life."""

    def __init__(self, place: Place, seed: int, faults: frozenset[str], say: Say) -> None:
        self._place, self._faults, self._say = place, faults, say
        self._dice = random.Random(seed)  # noqa: S311 (a simulation has no secrets)
        self._plans = {"web": weather.plans(self._dice, weather.WEB_PLACES),
                       "worker": weather.plans(self._dice, weather.WORKER_PLACES)}  # fmt: skip
        self.tally = Tally()
        self._children: dict[str, Child] = {}
        self._acts = 0
        self._disputes: list[str] = []
        self._moves: list[tuple[datetime, timedelta]] = []
        self._cast = Cast((), ())
        self._calm: dict[str, Child] = {}  # never killed: whoever looks at the books, and the crowd that lists

    # -- processes -------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Let people enter, sellers list and the first deals be struck in peace; then start the weather."""
        self._calm["crowd"] = Child("crowd", lambda: roles.crowd(self._place), self._place.log("crowd"))
        self._calm["looker"] = Child("looker", lambda: roles.looker(self._place), self._place.log("looker"))
        self._cast = self._calm["crowd"].ask("cast")
        self._calm["crowd"].ask("list", LISTINGS_FIRST)
        self._place.sandbox.knob("settings", delivery_mode="normal")
        faults, self._faults = self._faults, frozenset()
        self._start("web")
        for act in CALM_ACTS:  # some money and something to sell
            self._act(act)
            self._pay_a_page("paid")
            self._work_here()
        self._first_deals()
        self._faults = faults
        self._children["web"].kill()
        for name in ("web", "first", "second"):
            self._start(name)

    def _work_here(self) -> None:
        """Let everything be done that there is to do, by this process: what it knows then, those it forks know too."""
        for _ in range(WORK_HERE_MAX):
            done = roles.warm(self._place)
            if not done and not self._place.sandbox.knob("waiting").get("deliveries", 0):
                return

    def _first_deals(self) -> None:
        """Let the first lots be sold in peace, so that there is something to collect however short the life."""
        for act in ("cover", "cover"):
            self._act(act)
        self._move_clock(timedelta(minutes=OPEN_MINUTES + 1))
        self._work_here()
        for act in ("accept", "accept"):
            self._act(act)
        self._work_here()

    def close(self) -> None:
        """End every process."""
        for child in [*self._children.values(), *self._calm.values()]:
            child.kill()

    def _start(self, name: str, armed: bool = True) -> Child:
        bodies = {"web": lambda: roles.web(self._place), "first": lambda: roles.worker(self._place, True),
                  "second": lambda: roles.worker(self._place, False)}  # fmt: skip
        plan = ""
        if armed and "kills" in self._faults and self._dice.random() < 0.85:
            plan = next(self._plans["web" if name == "web" else "worker"])
        self._children[name] = Child(name, bodies[name], self._place.log(name), plan)
        return self._children[name]

    def _killed(self, child: Child) -> None:
        """Count a death by its place, start the process again, and ask all that must be true."""
        place = self._buried(child)
        self._start(child.name)
        self._check(f"after {child.name} died at {place}")

    def _buried(self, child: Child) -> str:
        place = child.died_at() or "anywhere"
        self.tally.kills += 1
        self.tally.places[place] += 1
        return place

    def _check(self, when: str) -> None:
        for name, ok in self._calm["looker"].ask("invariants"):
            self.tally.invariants[name] = self.tally.invariants.get(name, True) and ok
            if not ok:
                self.tally.wrong.append(f"{name} does not hold {when}")

    # -- one step --------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Let somebody act, somebody pay, something break, the clock go on, and the workers work."""
        for _ in range(2):
            self._act()
        if self._dice.random() < 0.6:
            self._pay_a_page()
        self._place.sandbox.knob("settings", payout_outcome=self._dice.choice(("paid", "paid", "failed",
                                                                               "paid_then_failed")))  # fmt: skip
        if self._dice.random() < 0.5:
            self._place.sandbox.knob("advance")
        if self.tally.steps % LISTING_EVERY == 0:
            self._calm["crowd"].ask("list", LISTINGS_NEXT)
        self._break()
        self._tick()

    def _act(self, name: str = "") -> None:
        name = name or self._dice.choices(list(ACTS), [WEIGHTS[act] for act in ACTS])[0]
        wish = self._calm["looker"].ask("plan", name, self._dice.getrandbits(32), self._cast)
        if wish is None:
            return
        self._acts += 1
        for left in reversed(range(TRIES)):
            web = self._children["web"]
            try:
                kind, value = web.ask("perform", wish, f"simulation-{self._acts}")
            except Died:
                self._buried(web)
                self._start("web", armed=left > 1)
                continue
            if kind == "done":
                self.tally.acknowledged.append((wish.verb, value))
            elif kind == "refused":
                self.tally.refusals[f"{wish.verb}: {value}"] += 1
            if kind != "unanswered" and value != "request_in_flight":
                return
            time.sleep(0.05)

    def _pay_a_page(self, outcome: str = "") -> None:
        pages = self._calm["looker"].ask(
            "rows",
            "SELECT session_id, amount_minor FROM (SELECT * FROM (SELECT session_id, amount_minor, created_at, state "
            "FROM funding UNION ALL SELECT session_id, amount_minor, created_at, state FROM debtor_payment) AS p "
            "WHERE state = 'open' ORDER BY created_at LIMIT 8) AS q",
        )
        if not pages:
            return
        session_id, minor = self._dice.choice(pages)
        outcome = outcome or self._dice.choice(OUTCOMES)
        more = {"minor": minor + 1} if self._dice.random() < 0.05 else {}
        self._place.sandbox.knob("pay", session=session_id, outcome=outcome, **more)

    def _break(self) -> None:
        dice, sandbox = self._dice, self._place.sandbox
        if "provider" in self._faults and dice.random() < 0.35:
            self.tally.provider_faults += 1
            if dice.random() < 0.1:
                self._forget_keys()
            elif dice.random() < 0.1:
                sandbox.kill()
                sandbox.start()
                self.tally.restarts += 1
            else:
                sandbox.knob("faults", **weather.api_fault(dice))
        if "provider" in self._faults and dice.random() < 0.12:
            self._take_back()
        if "webhooks" in self._faults and dice.random() < 0.2:
            sandbox.knob("settings", **weather.delivery(dice))
            if dice.random() < 0.3:
                self._deliver_again()
        if "database" in self._faults and dice.random() < 0.02:
            self._place.kill_database()
            self.tally.restarts += 1
        self._move_clock(timedelta(minutes=dice.choice(STEP_MINUTES)))
        if "clock" in self._faults and dice.random() < 0.015:
            self._move_clock(dice.choice(LEAPS))

    def _move_clock(self, by: timedelta) -> None:
        if by:
            self._moves.append((utc_now(), by))
            self._place.move_clock(by)

    def _forget_keys(self) -> None:
        """Let the provider forget the keys that it was given more than a day ago, by the market's clock.

        Not sooner: that it knows a key for 24 hours is what it promises, and what sending again rests on.
        """
        passed, now = timedelta(), utc_now()
        for moved_at, by in reversed(self._moves):
            passed += by
            if passed + (now - moved_at) > DAY:
                self._place.sandbox.knob("forget_keys", before=moved_at.timestamp())
                return

    def _take_back(self) -> None:
        """Let a payer's bank take money back, in whole or in part, or decide about what it took before."""
        dice, sandbox = self._dice, self._place.sandbox
        if self._disputes and dice.random() < 0.5:
            sandbox.knob("close_dispute", dispute=self._disputes.pop(0), won=dice.random() < 0.5)
            return
        paid = self._calm["looker"].ask(
            "rows",
            "SELECT intent_id, received_minor FROM (SELECT intent_id, received_minor, created_at, state FROM funding "
            "UNION ALL SELECT intent_id, received_minor, created_at, state FROM debtor_payment) AS p "
            "WHERE state = 'succeeded' AND intent_id IS NOT NULL ORDER BY created_at LIMIT 30",
        )
        if paid:
            intent_id, minor = dice.choice(paid)
            made = sandbox.knob("dispute", intent=intent_id, minor=dice.choice((minor, minor // 2 + 1, 1)))
            self._disputes += [made["id"]] if made else []
            self.tally.provider_faults += bool(made)

    def _deliver_again(self) -> None:
        """Let known events come once more, in any order.

        One by one: a web process that dies of the first would leave each of the others waiting until its time is out.
        """
        for event_id in self._some_events():
            if self._children["web"].ended():
                self._killed(self._children["web"])
            self._place.sandbox.knob("deliver", events=[event_id])

    def _some_events(self) -> list[str]:
        known = self._calm["looker"].ask(
            "rows", "SELECT event_id FROM incoming_event ORDER BY received_at, event_id LIMIT 500"
        )
        return self._dice.sample([row[0] for row in known], min(len(known), 10))

    def _tick(self) -> None:
        """Let both workers run; one may be cut down from outside in the middle of it."""
        working = [self._children["first"], self._children["second"]]
        victim = self._dice.choice([*working, *[None] * 5]) if "kills" in self._faults else None
        died = []
        for child in working:
            try:
                child.send("tick", weather.jobs(self._dice, roles.OFTEN, roles.SOMETIMES, roles.RARELY))
            except Died:
                died.append(child)
        if victim is not None and victim not in died:
            time.sleep(self._dice.random() * 0.08)
            victim.kill()
        for child in working:
            try:
                if child not in died:
                    child.answer() if not child.dead else died.append(child)
            except Died:
                died.append(child)
        for child in died:
            self._killed(child)

    # -- the end ---------------------------------------------------------------------------------------------------

    def come_to_rest(self) -> None:
        """End the weather, and let everything that is on its way arrive."""
        self._faults = frozenset()
        sandbox = self._place.sandbox
        sandbox.knob("faults", clear=True)
        sandbox.knob("settings", delivery_mode="normal", delivery_copies=1, delivery_shuffle=False,
                     payout_outcome="paid")  # fmt: skip
        for name in ("web", "first", "second"):
            self._children[name].kill()
            self._start(name, armed=False)
        sandbox.knob("release")  # what the provider held back comes at last
        self._settle_some()
        quiet = 0
        for _ in range(ROUNDS_MAX):
            sandbox.knob("advance")
            self._act("decide")
            self._move_clock(timedelta(minutes=61))
            moved = sum(self._children["first"].ask("tick", [*roles.OFTEN, *roles.RARELY[:1], "sequence_events"])
                        for _ in range(2))  # fmt: skip
            waiting = sandbox.knob("waiting").get("deliveries", 0)
            quiet = quiet + 1 if not moved and not waiting else 0
            if quiet == 3:
                break
            if waiting:
                time.sleep(0.1)
        else:
            self.tally.wrong.append("the market did not come to rest")
        self._check("at rest")
        checks.at_rest(self._place, self._calm["looker"], self._children["first"], self.tally)
        self._say("; ".join(checks.life(self._calm["looker"])))
        self._say("killed at " + ", ".join(f"{place} {count}" for place, count in sorted(self.tally.places.items())))
        self._say("refused: " + ", ".join(f"{words} {count}" for words, count in sorted(self.tally.refusals.items())))

    def _settle_some(self) -> None:
        """Let some debtors pay all that they owe before the end: a life in which no deal ends proves too little."""
        for _ in range(SETTLED_MIN):
            self._act("settle")
            self._tick()
            for session_id, minor in self._calm["looker"].ask(
                "rows",
                "SELECT session_id, amount_minor FROM debtor_payment WHERE state = 'open' ORDER BY created_at, id",
            ):
                self._place.sandbox.knob("pay", session=session_id, outcome="paid", minor=minor)
            self._tick()


def simulate(
    seed: int, steps: int, faults: frozenset[str], say: Say, *,
    prepared: tuple[EmbeddedPostgres, str] | None = None, kills: int | None = None,
) -> Tally:  # fmt: skip
    """Play one seeded life of `steps` steps, or until so many `kills`, and return what it came to."""
    with standing(prepared) as place:
        simulation = Simulation(place, seed, faults, say)
        try:
            simulation.open()
            for number in _until(steps, kills, simulation.tally):
                simulation.tally.steps = number
                simulation.step()
                if number % 25 == 0:
                    say(f"step {number}: {simulation.tally.kills} kills, {simulation.tally.restarts} restarts")
                if simulation.tally.wrong:
                    break
            if not simulation.tally.wrong:
                simulation.come_to_rest()
            simulation.tally.webhooks = place.sandbox.delivered()
        finally:
            simulation.close()
        return simulation.tally


def _until(steps: int, kills: int | None, tally: Tally) -> Iterator[int]:
    number = 0
    while number < steps or (kills is not None and tally.kills < kills):
        number += 1
        yield number
