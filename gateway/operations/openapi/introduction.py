"""The text at the head of the API document: what a client developer must know before the first call."""

from typing import Final

from core.limits import PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX

INTRODUCTION: Final = f"""\
JSON in and out (UTF-8, snake_case); ids are strings, money is a decimal string beside its `currency`, times are RFC
3339 in UTC.

**Regions.** Every user's data lives in their own country's region, and every id carries where it lives. The region
of a request is decided by the first of: the id in the path, your login, `X-Region`, the phone number (at
registration and login), the country the edge saw, your address, the default. `GET /api/v1/route` explains the
decision; `Meridian-Route` on each answer says which shard gave it.

**Logging in.** Register or log in, then send `Authorization: Bearer` and the access token (15 minutes). Refresh
with the newest refresh token (7 days); each is good once. Browsers may ask for a session cookie instead, with
`cookie: true`. A credential that is sent must be good, even where none is needed: otherwise 401.

**Reading your own writes.** Reads come from replicas. An answer's `Consistency-Token` proves what you have written
and seen: keep the newest, send it with every request, and you never see anything older. `Consistency: strong` asks
the primary; `eventual` gives the guarantee up.

**Repeating safely.** Send an `Idempotency-Key` with every POST. If the answer is lost (502, 503 `outcome_unknown`,
504, a dropped connection), send the same request with the same key: it is done once, and a stored answer says
`Idempotent-Replayed: true`.

**Errors** are RFC 9457 problems, `application/problem+json`, with a stable `code`; a 422 lists every wrong field in
`errors`. 429, 502 and 503 say in `Retry-After` how many seconds to wait. Quote the `request_id` when you ask for help.
Be ready for codes that are not listed here: their status says enough.

**Limits.** Each user, each address of callers who are not logged in, and attempts to log in are limited. `RateLimit`
says on every answer that is yours alone how many more requests are left, `RateLimit-Policy` what the limit is; a 429
says when to return.

**Reference data.** `GET /api/v1/reference` lists sets with a `url` each. What a url answers never changes: keep it for
good, ask the list again at each start, and fetch what has another url. Send `X-Region`, so that caches can help, and
`Accept-Language: ar` or `en`.

**Pages.** Lists answer `{{"items": [...], "next": ...}}`. Ask with `limit` ({PAGE_ITEMS_DEFAULT} by default, at
most {PAGE_ITEMS_MAX}); hand `next` back as `cursor`, unchanged, until it is null. A list over several shards says
with `partial` and `missing` when one did not answer.
"""
