"""Real tokens and real ids for the requests, and what a schema cannot say of them.

REEL_TOKENS is a list of session tokens, one for each role, of one user. REEL_IDS has lists of ids of that user's: job_id,
batch_id, configuration_id, upload_id, and the names of a stream's files, file.
"""

import itertools
import json
import os

import schemathesis
from schemathesis.core.parameters import ParameterLocation

TOKENS = itertools.cycle(json.loads(os.environ["REEL_TOKENS"]))
BELONGINGS = json.loads(os.environ["REEL_IDS"])
IDS = {name: itertools.cycle(ids) for name, ids in BELONGINGS.items()}
KEYS = itertools.count()
# Every third request keeps the ids that were made up for it.
IS_REAL = itertools.cycle([True, True, False])
MAX_SKIPPED = 10_000
MISSING = "00000000-0000-7000-8000-000000000000"


@schemathesis.auth(refresh_interval=None)
class Tokens:
    """Sends each request with the token of the next role."""

    def get(self, case, context):
        return next(TOKENS)

    def set(self, case, token, context):
        case.headers["Authorization"] = f"Bearer {token}"


@schemathesis.hook
def before_call(context, case, kwargs):
    if is_right(case, ParameterLocation.PATH) and case.method != "DELETE" and next(IS_REAL):
        for name in case.path_parameters or {}:
            case.path_parameters[name] = next(IDS[name])
    # They are needed until the end.
    if case.method == "DELETE" and any(id in BELONGINGS.get(name, []) for name, id in (case.path_parameters or {}).items()):
        case.path_parameters = {name: MISSING for name in case.path_parameters}
    # A key stands for one body.
    if "Idempotency-Key" in (case.headers or {}) and is_right(case, ParameterLocation.HEADER):
        case.headers["Idempotency-Key"] = f"{case.headers['Idempotency-Key'][:200]}{next(KEYS)}"
    if is_right(case, ParameterLocation.QUERY):
        settle_query(case.query or {}, case.operation.path)
    if is_right(case, ParameterLocation.BODY) and isinstance(case.body, dict):
        settle_body(case.body)


def is_right(case, location):
    """Whether a part of the request is as its schema says; the others are left as they are."""
    part = case.meta.components.get(location) if case.meta else None
    return part is None or part.mode.is_positive


def settle_query(query, path):
    # Only a page before gives one.
    query.pop("cursor", None)
    if "page" in query:
        query["page"] = min(int(query["page"]), MAX_SKIPPED // int(query.get("items_per_page", 20)) + 1)
    # A job has as many versions as it has events, and none before it was asked for.
    query.pop("at", None)
    if "at_version" in query:
        query["at_version"] = 1
    # A period has a beginning before its end, and not too many parts.
    if "/analytics/" in path:
        query.pop("from", None)
        query.pop("to", None)


def settle_body(body):
    for job in body.get("jobs") or []:
        settle_body(job)
    for inner in ("configuration", "settings"):
        if isinstance(body.get(inner), dict):
            settle_body(body[inner])
    # What they name must be there.
    for name, value in (("configuration_id", None), ("upload_ids", [])):
        if body.get(name):
            body[name] = next(IDS["configuration_id"]) if value is None else [next(IDS["upload_id"])]
    # Other tests try scenes, whose rules are more than a schema can say.
    if body.pop("scenes", None) is not None and not body.get("script"):
        body["script"] = "Ions move."
    # It must have a letter or a digit.
    if body.get("script"):
        body["script"] = body["script"][:-1] + "a"
    # No message is sent to a private address.
    body.pop("callback_url", None)
    # A voice that is not installed is refused.
    (body.get("custom_config") or {}).pop("voice", None)
    # Keys that nothing reads are bounded in their depth, and are no secrets.
    style = body.get("style_preferences")
    for key in set(style or {}) - {"aspect_ratio", "accent_color", "background_color", "font"}:
        del style[key]
