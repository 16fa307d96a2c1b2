"""The part of a NamespaceSpec that this cloud offers, read and written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from temporalio.api.cloud.namespace.v1 import (
    ApiKeyAuthSpec,
    CertificateFilterSpec,
    LifecycleSpec,
    MtlsAuthSpec,
    NamespaceSpec,
)

from api.cloud.fields import not_offered
from tenancy import (
    CertificateFilter,
    CertificateTrust,
    InvalidField,
    Namespace,
    NamespaceSettings,
    SearchAttributeType,
)
from tenancy.certificate_upload import pem_of
from tenancy.certificates import NO_TRUST

UNOFFERED = (
    "codec_server",
    "high_availability",
    "connectivity_rule_ids",
    "capacity_spec",
    "replicas",
    "fairness",
)
"""Fields that are refused where they are set."""

TYPES: Mapping[SearchAttributeType, NamespaceSpec.SearchAttributeType.ValueType] = {
    SearchAttributeType.TEXT: NamespaceSpec.SEARCH_ATTRIBUTE_TYPE_TEXT,
    SearchAttributeType.KEYWORD: NamespaceSpec.SEARCH_ATTRIBUTE_TYPE_KEYWORD,
    SearchAttributeType.INT: NamespaceSpec.SEARCH_ATTRIBUTE_TYPE_INT,
    SearchAttributeType.DOUBLE: NamespaceSpec.SEARCH_ATTRIBUTE_TYPE_DOUBLE,
    SearchAttributeType.BOOL: NamespaceSpec.SEARCH_ATTRIBUTE_TYPE_BOOL,
    SearchAttributeType.DATETIME: NamespaceSpec.SEARCH_ATTRIBUTE_TYPE_DATETIME,
    SearchAttributeType.KEYWORD_LIST: NamespaceSpec.SEARCH_ATTRIBUTE_TYPE_KEYWORD_LIST,
}
_TYPES_BY_NUMBER: Mapping[int, SearchAttributeType] = {it: type for type, it in TYPES.items()}
_NOTHING = NamespaceSpec()


def settings_of(spec: NamespaceSpec) -> NamespaceSettings:
    """Raises InvalidField, also for what this cloud does not offer."""
    for name in UNOFFERED:
        if getattr(spec, name) != getattr(_NOTHING, name):
            raise not_offered(f"spec.{name}")
    if spec.HasField("api_key_auth") and not spec.api_key_auth.enabled:
        raise InvalidField(
            "spec.api_key_auth.enabled",
            "must be true: certificates are accepted beside API keys",
            "leave it out",
        )
    if spec.custom_search_attributes:
        raise InvalidField(
            "spec.custom_search_attributes", "is no longer read", "use spec.search_attributes"
        )
    return NamespaceSettings(
        spec.retention_days,
        {name: _type_of(name, number) for name, number in spec.search_attributes.items()},
        spec.lifecycle.enable_delete_protection,
        _trust_of(spec.mtls_auth),
    )


def region_of(spec: NamespaceSpec) -> str | None:
    """The one that is wished for. Raises InvalidField."""
    if len(spec.regions) > 1:
        raise InvalidField("spec.regions", "has more than one region", "name one or none")
    return spec.regions[0] if spec.regions else None


def spec_message(namespace: Namespace) -> NamespaceSpec:
    settings = namespace.settings
    return NamespaceSpec(
        name=namespace.name,
        regions=[namespace.region],
        retention_days=settings.retention_days,
        mtls_auth=_mtls_message(settings.certificates),
        api_key_auth=ApiKeyAuthSpec(enabled=True),
        search_attributes={name: TYPES[type] for name, type in settings.search_attributes.items()},
        lifecycle=LifecycleSpec(enable_delete_protection=settings.is_delete_protected),
    )


def _trust_of(spec: MtlsAuthSpec) -> CertificateTrust:
    if spec.accepted_client_ca_deprecated:
        raise InvalidField(
            "spec.mtls_auth.accepted_client_ca_deprecated",
            "is no longer read",
            "use spec.mtls_auth.accepted_client_ca",
        )
    filters = (
        CertificateFilter(
            each.common_name,
            each.organization,
            each.organizational_unit,
            each.subject_alternative_name,
        )
        for each in spec.certificate_filters
    )
    return CertificateTrust(spec.enabled, pem_of(spec.accepted_client_ca), tuple(filters))


def _mtls_message(trust: CertificateTrust) -> MtlsAuthSpec | None:
    if trust == NO_TRUST:
        return None
    return MtlsAuthSpec(
        accepted_client_ca=trust.authorities.encode(),
        certificate_filters=[CertificateFilterSpec(**asdict(each)) for each in trust.filters],
        enabled=trust.is_enabled,
    )


def _type_of(name: str, number: int) -> SearchAttributeType:
    type = _TYPES_BY_NUMBER.get(number)
    if type is None:
        raise InvalidField(
            f"spec.search_attributes[{name!r}]",
            "has no type that this cloud knows",
            f"use one of {', '.join(SearchAttributeType)}",
        )
    return type
