"""What `kubectl auth can-i` and `whoami` are told: there is one user, and no RBAC. Pure.

So what is served may be done, and what is not served may not, with the sentence that whoever tries
it is told.
"""

from typing import Any

from controlplane.kubernetes.kinds import KINDS
from controlplane.kubernetes.meta import Object
from controlplane.kubernetes.refusals import Invalid
from controlplane.local.api.kubectl import discovery, instead

_ACCESS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_WHOLE: dict[str, tuple[str, str, Object]] = {
    "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews": (
        "authorization.k8s.io/v1",
        "SelfSubjectRulesReview",
        {
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": False,
        },
    ),
    "/apis/authentication.k8s.io/v1/selfsubjectreviews": (
        "authentication.k8s.io/v1",
        "SelfSubjectReview",
        {"userInfo": {"username": "serin", "groups": ["system:masters"]}},
    ),
}
_ALLOWED: Object = {"allowed": True, "reason": "the one token may do all that is served here"}


def is_review(path: str) -> bool:
    """Whether it is asked there what one may do, or who one is."""
    return path == _ACCESS or path in _WHOLE


def review(path: str, body: Any) -> Object:
    """The answer to a review of oneself.

    Raises:
        Invalid: It does not say what is to be done.
    """
    if path in _WHOLE:
        version, kind, status = _WHOLE[path]
        return {"kind": kind, "apiVersion": version, "metadata": {}, "spec": {}, "status": status}
    spec = body.get("spec") if isinstance(body, dict) else None
    asked = spec if isinstance(spec, dict) else {}
    resource, other = asked.get("resourceAttributes"), asked.get("nonResourceAttributes")
    if isinstance(resource, dict) is isinstance(other, dict):
        raise Invalid(
            "SelfSubjectAccessReview.authorization.k8s.io is invalid: spec: Invalid value: exactly "
            "one of nonResourceAttributes or resourceAttributes must be specified"
        )
    status = _status(resource) if isinstance(resource, dict) else _ALLOWED
    return {
        "kind": "SelfSubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": asked,
        "status": status,
    }


def _status(asked: Object) -> Object:
    """Whether a verb is served, of all kinds that are meant."""
    group, plural, part, verb = (
        str(asked.get(key) or "") for key in ("group", "resource", "subresource", "verb")
    )
    if plural == "*":
        return _ALLOWED
    named = [kind for kind in KINDS if kind.plural == plural and group in {kind.group, "*"}]
    if not named:
        return {"allowed": False, "reason": instead.absent(plural)}
    for kind in named:
        verbs = discovery.verbs_of(kind, part)
        if verb in verbs or (verb == "*" and verbs):
            return _ALLOWED
    return {"allowed": False, "reason": instead.sentence(plural, part)}
