"""Whose letterbox is it that a seller names for the debtor? Pure.

The debtor confirms by a link that is sent there. Whoever reads the seller's own letters could confirm in its place.
"""

from collections.abc import Set

# Anybody may open a box there under any name. Source: the providers' own pages.
_PUBLIC = (
    "gmail.com googlemail.com outlook.com hotmail.com hotmail.co.uk live.com msn.com yahoo.com yahoo.co.uk "
    "yahoo.com.hk ymail.com icloud.com me.com mac.com aol.com gmx.de gmx.net gmx.com web.de t-online.de "
    "freenet.de proton.me protonmail.com pm.me mail.com zoho.com yandex.com yandex.ru mail.ru qq.com 163.com "
    "126.com sina.com foxmail.com naver.com daum.net hanmail.net orange.fr wanadoo.fr free.fr laposte.net sfr.fr "
    "libero.it virgilio.it tiscali.it seznam.cz centrum.cz wp.pl o2.pl onet.pl interia.pl btinternet.com sky.com "
    "virginmedia.com tutanota.com fastmail.com hushmail.com mailinator.com guerrillamail.com"
)
PUBLIC_DOMAINS = frozenset(_PUBLIC.split())


def plain_address(address: str) -> str:
    """Return an address as the box it reaches is told from others: in small letters, without a tag after a plus."""
    name, _, domain = address.strip().lower().rpartition("@")
    return f"{name.partition('+')[0]}@{domain}"


def whose(address: str, own: Set[str]) -> str:
    """Return "own" for one of the seller's boxes, "own_domain" for one beside them, "public" for one at a provider
    that gives a box to anybody, else "".

    `own` are the addresses by which the seller's people sign in.
    """
    box = plain_address(address)
    boxes = {plain_address(one) for one in own}
    if box in boxes:
        return "own"
    domain = box.rpartition("@")[2]
    if domain in PUBLIC_DOMAINS:
        return "public"
    return "own_domain" if domain in {one.rpartition("@")[2] for one in boxes} else ""
