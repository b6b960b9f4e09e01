"""Kinds that Kubernetes' own schemas do not have, as far as deploy/k8s uses them: what is not here is refused.

Written down from the references of the Gateway API, GKE, Managed Prometheus and cert-manager. They catch a slip of the
pen; only a cluster knows whether it takes them.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]
TEXT: Schema = {"type": "string", "minLength": 1}
NUMBER: Schema = {"type": "integer"}
DURATION: Schema = {"type": "string", "pattern": r"^\d+(s|m|h)$"}


def record(required: str, optional: str = "", **kinds: Schema) -> Schema:
    """An object of these keys and no others; each is a text unless `kinds` says otherwise."""
    names = [*required.split(), *optional.split()]
    fields = {name: kinds.get(name, TEXT) for name in names}
    return {"type": "object", "properties": fields, "required": required.split(), "additionalProperties": False}


def many(one: Schema) -> Schema:
    return {"type": "array", "items": one, "minItems": 1}


def choice(*words: str) -> Schema:
    return {"enum": list(words)}


TEXTS = {"type": "object", "additionalProperties": TEXT}
SERVICE = record("group kind name", group={"const": ""}, kind={"const": "Service"})
EXPRESSION = record("key operator values", operator=choice("In", "NotIn"), values=many(TEXT))
SELECTOR = record("", "matchLabels matchExpressions", matchLabels=TEXTS, matchExpressions=many(EXPRESSION))
PATH = record("type value", type=choice("Exact", "PathPrefix"))
MATCH = record("path", path=PATH)
BACKEND = record("name port", port=NUMBER)
ROUTE_RULE = record("matches backendRefs", matches=many(MATCH), backendRefs=many(BACKEND))
LISTENER = record("name protocol port", port=NUMBER, protocol=choice("HTTP", "HTTPS"))
ENDPOINT = record("port", "path interval", interval=DURATION)
ALERT = record("alert expr", "for labels annotations", **{"for": DURATION}, labels=TEXTS, annotations=TEXTS)
GROUP = record("name interval rules", interval=DURATION, rules=many(ALERT))
HTTP_CHECK = record("port requestPath", port=NUMBER)
HEALTH = record(
    "config",
    "checkIntervalSec timeoutSec healthyThreshold unhealthyThreshold",
    config=record("type httpHealthCheck", type={"const": "HTTP"}, httpHealthCheck=HTTP_CHECK),
    checkIntervalSec=NUMBER,
    timeoutSec=NUMBER,
    healthyThreshold=NUMBER,
    unhealthyThreshold=NUMBER,
)
DRAINING = record("drainingTimeoutSec", drainingTimeoutSec=NUMBER)
BACKEND_POLICY = record("", "timeoutSec connectionDraining", timeoutSec=NUMBER, connectionDraining=DRAINING)
ISSUED_KEY = record("algorithm size", "rotationPolicy", size=NUMBER)
CERTIFICATE = record(
    "secretName issuerRef",
    "isCA commonName duration renewBefore usages privateKey dnsNames",
    isCA={"type": "boolean"},
    duration=DURATION,
    renewBefore=DURATION,
    usages=many(TEXT),
    dnsNames=many(TEXT),
    privateKey=ISSUED_KEY,
    issuerRef=record("name"),
)

SPECS: dict[tuple[str, str], Schema] = {
    ("gateway.networking.k8s.io/v1", "Gateway"): record("gatewayClassName listeners", listeners=many(LISTENER)),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): record(
        "parentRefs hostnames rules",
        parentRefs=many(record("name")),
        hostnames=many(TEXT),
        rules=many(ROUTE_RULE),
    ),
    ("networking.gke.io/v1", "HealthCheckPolicy"): record("default targetRef", default=HEALTH, targetRef=SERVICE),
    ("networking.gke.io/v1", "GCPBackendPolicy"): record(
        "default targetRef", default=BACKEND_POLICY, targetRef=SERVICE
    ),
    ("monitoring.googleapis.com/v1", "PodMonitoring"): record(
        "selector endpoints", selector=SELECTOR, endpoints=many(ENDPOINT)
    ),
    ("monitoring.googleapis.com/v1", "Rules"): record("groups", groups=many(GROUP)),
    ("cert-manager.io/v1", "Issuer"): record("", "selfSigned ca", selfSigned=record(""), ca=record("secretName")),
    ("cert-manager.io/v1", "Certificate"): CERTIFICATE,
}
