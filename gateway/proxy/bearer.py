"""Who calls: an API key of ours, or a bearer token of an issuer that is trusted here.

What was found out about a token is kept under the SHA-256 of the whole of it, and each call asks again
whether it still holds: the issuer's settings and key, the time, and the person behind it in the snapshot. So
a cached token costs a few look-ups, and a lock, a deactivation or a lost group acts on it as on any key.

The groups that count are those in the store, after the token's own have been taken over. An older token
gives back nothing that a newer one took, and a removal by a directory cuts while a token lives.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

from gateway.identity import tokens
from gateway.identity.discovery import ProviderError
from gateway.identity.introspection import FRESH, introspect
from gateway.identity.jwks import Key
from gateway.identity.key_source import KeySource, KeysUnavailable
from gateway.identity.keys import digest, has_shape
from gateway.identity.tokens import ClaimsRefused, TokenError, UnknownIssuer, UnknownKey, Unverified, Vouched
from gateway.identity.trust import Trusted
from gateway.proxy import admission
from gateway.proxy.admission import RequestHead
from gateway.proxy.beside import Beside
from gateway.proxy.desk import Desk
from gateway.proxy.errors import TokenRefused, Unavailable
from gateway.proxy.meeting import Meeting, read_keys, read_names
from gateway.proxy.met import MetNames
from gateway.proxy.routes import Caller, Known, Name, Snapshot, let_in
from gateway.proxy.snapshot import Snapshots
from gateway.proxy.vouching import Vouching, locked_out

log = logging.getLogger(__name__)

CACHED: Final = 10_000
"""Tokens that are remembered, the latest used."""

REFUSED: Final = 10_000
REFUSED_FOR: Final = 2.0
"""Opaque tokens that their issuer refused, and seconds for which it is not asked about the same one again."""

ASKING: Final = 8
WRITING: Final = 2
"""Threads that ask issuers about opaque tokens, which anybody can make up, and threads that write people."""


ATTEMPTS: Final = 3
"""Questions about a new key: a snapshot that comes while the store is asked may make its answer old."""


class Entry:
    """One token that was verified, and the caller that it stands for."""

    __slots__ = (
        "_base",
        "_caller",
        "acting",
        "fresh",
        "key",
        "name",
        "source",
        "trusted",
        "until",
        "vouched",
    )

    def __init__(self, trusted: Trusted, vouched: Vouched, until: float, fresh: float = float("inf")) -> None:
        """`until` by the calendar, which tokens are written in; `fresh` by the clock that nobody sets."""
        self.trusted, self.vouched, self.until, self.fresh = trusted, vouched, until, fresh
        self.name: Name = (vouched.issuer, vouched.subject)
        self.acting = tuple([(each.issuer or vouched.issuer, each.subject) for each in vouched.actors])
        self.source: KeySource | None = None  # and the key that signed it; None where the issuer was asked
        self.key: Key | None = None
        self._base: Caller | None = None
        self._caller: Caller | None = None

    def holds(self, snapshot: Snapshot, now: float) -> bool:
        """Whether it would be verified again now. Raises `KeysUnavailable` where nobody can tell."""
        if now >= self.until or time.monotonic() >= self.fresh:
            return False
        if snapshot.issuers.get(self.vouched.issuer) is not self.trusted:
            return False
        if self.source is None or self.key is None:
            return True
        trusted = self.source.trusts(self.key, self.trusted.max_stale)
        if trusted is None:
            raise KeysUnavailable
        return trusted

    def caller(self, snapshot: Snapshot, met: MetNames) -> Caller | None:
        """The caller as the store has it; None where it must be asked, or has nobody of this name."""
        found = met.of(snapshot, self.name)
        if found is None or found.known is None:
            return None
        if found.known.caller is not self._base:
            self._base, self._caller = found.known.caller, self._derived(found.known, found.since)
        assert self._caller is not None  # noqa: S101  made with its base
        return self._caller

    def _derived(self, known: Known, since: int) -> Caller:
        vouched = self.vouched
        return replace(
            known.caller,
            issuer=vouched.issuer,
            issued_subject=vouched.subject,
            actor=tuple([actor.shown(vouched.issuer) for actor in vouched.actors]),
            acting=self.acting,
            expires_at=vouched.expires_at,
            since=since,
            _seen={},
        )


class Bearer:
    """One per process. `start` and `stop` belong to the server's lifespan."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._cache: OrderedDict[bytes, Entry] = OrderedDict()
        self._refused: OrderedDict[bytes, tuple[Trusted, float, TokenError]] = OrderedDict()
        self._sources: dict[str, KeySource] = {}
        self._lock = threading.Lock()
        self._asking = Desk(ASKING, "postern-introspection")
        self._writing = Desk(WRITING, "postern-people")
        self._met = snapshots.met
        self._keys = snapshots.keys
        self._meeting = Meeting(self._met, partial(read_names, snapshots.number))
        self._key_meeting = Meeting(self._keys, partial(read_keys, snapshots.number))
        self._vouching = Vouching(snapshots.number)
        self._beside = Beside("postern-issuers", 1.0, self._step)

    def start(self) -> None:
        self._beside.start()

    def stop(self) -> None:
        self._beside.stop()
        self._asking.close()
        self._writing.close()
        self._meeting.close()
        self._key_meeting.close()

    async def caller(self, head: RequestHead) -> Caller:
        """The verified caller, or a refusal that does not say which part was wrong.

        Tokens come in `Authorization` only: other headers are for our own keys.
        """
        credential = admission.credential(head)
        snapshot = self._snapshots.current()
        if not _may_be_token(credential, head, snapshot):
            return let_in(await self._keyholder(credential, snapshot), time.time())
        try:
            return await self._caller(credential, snapshot, time.time())
        except TokenError as error:
            log.info("token refused: %s", error.code)
            raise TokenRefused("invalid_token", "The bearer token is not accepted.", error.code) from None
        except KeysUnavailable:
            raise _unavailable() from None
        except ProviderError as error:
            log.warning("token could not be checked: %s", error.code)
            raise _unavailable() from None

    async def again(self, caller: Caller, head: RequestHead) -> Caller:
        """The caller of a call that has waited, as a new call with the same credential would find them.

        What an issuer has said of an opaque token is old by now, so it is asked again.
        """
        snapshot = self._snapshots.current()
        if not caller.issuer or not _is_opaque(admission.credential(head), snapshot):
            return snapshot.again(caller, time.time())
        found = await self.caller(head)
        if (found.issuer, found.issued_subject) != (caller.issuer, caller.issued_subject):
            raise TokenRefused("invalid_token", "The bearer token is not accepted.", "another holder")
        return found

    async def _keyholder(self, credential: str, snapshot: Snapshot) -> Caller | None:
        """Who holds this key, if anybody does. One that is new to this process is looked up."""
        key = digest(credential)
        caller = snapshot.callers.get(key)
        if caller is not None or not has_shape(credential):
            return caller
        try:
            for attempt in range(ATTEMPTS + 1):
                found = self._keys.of(self._snapshots.current(), key)
                if found is not None:
                    return found.known
                if attempt < ATTEMPTS:
                    await self._key_meeting.meet([key])
        except (ProviderError, KeysUnavailable):
            pass  # told where the store was asked, once for all who waited
        raise Unavailable("identity_unavailable", "Your API key cannot be checked now. Try again shortly.")

    async def _caller(self, credential: str, snapshot: Snapshot, now: float) -> Caller:
        key = digest(credential)
        entry = self._cache.get(key)
        caller = None
        if entry is not None and entry.holds(snapshot, now) and self._knows(entry.acting, snapshot):
            caller = entry.caller(snapshot, self._met)
        if entry is not None and caller is not None:
            self._cache.move_to_end(key)
        else:
            entry = await self._judged(key, credential, snapshot, now)
            snapshot = self._snapshots.current()  # the judging may have taken its time
            if snapshot.issuers.get(entry.vouched.issuer) is not entry.trusted:
                raise KeysUnavailable  # judged by settings that were changed meanwhile
            if (caller := entry.caller(snapshot, self._met)) is None:
                raise ClaimsRefused("unknown_subject")
            self._keep(key, entry)
        if caller.refusal or (entry.acting and self._is_out(entry.acting, snapshot)):
            raise locked_out()
        return caller

    def _knows(self, names: Iterable[Name], snapshot: Snapshot) -> bool:
        """Whether it can be said who these are without asking the store."""
        return all([self._met.of(snapshot, name) is not None for name in names])

    def _is_out(self, acting: Iterable[Name], snapshot: Snapshot) -> bool:
        """Whether one of those who act for somebody is known here, and may not call."""
        return any(each.refusal for each in self._met.callers(snapshot, acting))

    def _keep(self, key: bytes, entry: Entry) -> None:
        entry.vouched = replace(entry.vouched, claims={})  # they were looked at, and are large
        self._cache[key] = entry
        self._cache.move_to_end(key)
        if len(self._cache) > CACHED:
            self._cache.popitem(last=False)

    # --- a token that is not known yet, or no longer ---------------------------------------------------

    async def _judged(self, key: bytes, credential: str, snapshot: Snapshot, now: float) -> Entry:
        if _is_opaque(credential, snapshot):
            by, until, refusal = self._refused.get(key, (None, 0.0, None))
            if refusal is not None and time.monotonic() < until and by is _introspecting(snapshot):
                raise type(refusal)(refusal.code)
            return await self._asking.once(key, lambda: self._asked(key, credential, snapshot, now))
        entry = await self._verified(credential, snapshot, now)
        if await self._is_settled(entry):
            return entry
        return await self._writing.once(key, lambda: self._introduced(entry))

    async def _verified(self, credential: str, snapshot: Snapshot, now: float) -> Entry:
        """A signed token: everything but an unknown key is decided here and now."""
        token = tokens.read(credential)
        trusted = snapshot.issuers.get(token.issuer)
        if trusted is None:
            raise UnknownIssuer("unknown_issuer")
        tokens.check_header(token, trusted.terms)
        source = self._source(trusted)
        key = await self._key(token, source, trusted)
        tokens.check_signature(token, key)
        vouched = tokens.vouched(token, trusted.terms, now)
        entry = Entry(trusted, vouched, vouched.expires_at + trusted.terms.leeway)
        entry.source, entry.key = source, key
        return entry

    async def _key(self, token: Unverified, source: KeySource, trusted: Trusted) -> Key:
        """The key that signed it. One that is not in the issuer's answer counts as unknown only if the issuer
        was asked after the token came: an answer on its way may be older than the key."""
        keys = source.keys(trusted.max_stale)
        asked_for = keys is not None
        while True:
            if keys is not None:
                with suppress(UnknownKey):
                    return tokens.find_key(token, keys)
            await source.seek(newer=asked_for)
            keys = source.keys(trusted.max_stale)
            if keys is None or source.failing:
                raise KeysUnavailable
            if asked_for:
                return tokens.find_key(token, keys)
            asked_for = True

    def _source(self, trusted: Trusted) -> KeySource:
        """Where this issuer's keys are kept; a new one when it moved."""
        issuer = trusted.terms.issuer
        with self._lock:  # the thread beside the calls looks for it as well
            source = self._sources.get(issuer)
            if source is None or source.place != trusted.place:
                source = self._sources[issuer] = KeySource(trusted.place)
            return source

    async def _asked(self, key: bytes, credential: str, snapshot: Snapshot, now: float) -> Entry:
        """An opaque token: its issuer says."""
        trusted = _introspecting(snapshot)
        if trusted is None:
            raise UnknownIssuer("unknown_issuer")
        asked_at = time.monotonic()
        try:
            vouched = await self._asking.done(lambda: introspect(credential, trusted, now))
        except TokenError as error:
            self._refuse(key, trusted, error)
            raise
        entry = Entry(trusted, vouched, vouched.expires_at, asked_at + FRESH)
        if not await self._is_settled(entry):
            await self._introduced(entry)
        return entry

    def _refuse(self, key: bytes, trusted: Trusted, error: TokenError) -> None:
        self._refused.pop(key, None)
        self._refused[key] = trusted, time.monotonic() + REFUSED_FOR, type(error)(error.code)
        if len(self._refused) > REFUSED:
            self._refused.popitem(last=False)

    async def _introduced(self, entry: Entry) -> Entry:
        """The store learns of a person, or of changed groups."""
        introduce = self._vouching.introduce
        known, revision = await self._writing.done(lambda: introduce(entry.trusted, entry.vouched))
        self._met.learn({entry.name: known}, revision)
        return entry

    async def _is_settled(self, entry: Entry) -> bool:
        """Whether the store has the caller as the token says. Who is new to this process is looked up."""
        snapshot = self._snapshots.current()
        names = entry.name, *entry.acting
        if new := [name for name in names if self._met.of(snapshot, name) is None]:
            await self._meeting.meet(new)
            snapshot = self._snapshots.current()
        found = self._met.of(snapshot, entry.name)
        return self._vouching.is_settled(entry.trusted, entry.vouched, found.known if found else None)

    # --- beside the calls --------------------------------------------------------------------------------

    def _step(self) -> None:
        """Once a second: keys that are due, and words that the store has not heard."""
        try:
            self._vouching.tell()
            snapshot = self._snapshots.latest
            for trusted in list(snapshot.issuers.values()) if snapshot else ():
                source = self._source(trusted)
                if source.due or source.aged(trusted.max_stale):
                    source.refresh_beside()
        except Exception as error:  # whatever it is, the next second may be better
            log.error("issuers could not be followed: %s", type(error).__name__)


def _may_be_token(credential: str, head: RequestHead, snapshot: Snapshot) -> bool:
    if credential.startswith("pst_") or not snapshot.issuers or not head.text(b"authorization"):
        return False
    return "." in credential or _introspecting(snapshot) is not None


def _is_opaque(credential: str, snapshot: Snapshot) -> bool:
    """No signed token, and there is somebody to ask. What is signed is shown to nobody."""
    return credential.count(".") != 2 and _introspecting(snapshot) is not None


def _introspecting(snapshot: Snapshot) -> Trusted | None:
    """The issuer that opaque tokens are of. Were there two, one would be shown the tokens of the other."""
    found = [each for each in snapshot.issuers.values() if each.introspection is not None]
    return found[0] if len(found) == 1 else None


def _unavailable() -> Unavailable:
    return Unavailable("identity_unavailable", "Your token cannot be checked now. Try again shortly.")
