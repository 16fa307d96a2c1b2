"""All parts of single sign-on, put together once."""

from __future__ import annotations

from tenancy.entrance import Entrance
from tenancy.outgoing import Outgoing
from tenancy.sealing import Sealer
from tenancy.sessions import Sessions
from tenancy.single_sign_on.domain_proof import DomainProof
from tenancy.single_sign_on.domains import SignOnDomains
from tenancy.single_sign_on.exchange import Exchange
from tenancy.single_sign_on.known_providers import KnownProviders
from tenancy.single_sign_on.log_ins import SignOnLogIns
from tenancy.single_sign_on.password_rule import PasswordRule
from tenancy.single_sign_on.settings import SignOnSettings
from tenancy.single_sign_on.tools import Claim, Tools


class SingleSignOn:
    """`outgoing` reaches the providers and the proofs of domains. Where it may reach this machine,
    for development, domains that nobody can own need no proof.
    """

    def __init__(
        self,
        entrance: Entrance,
        *,
        sessions: Sessions,
        claim: Claim,
        outgoing: Outgoing,
        pepper: bytes,
    ) -> None:
        tools = Tools(
            database=entrance.database,
            now=entrance.now,
            token_bytes=entrance.token_bytes,
            audit=entrance.audit,
            claim=claim,
            limits=entrance.limits,
        )
        self.providers = providers = KnownProviders(outgoing=outgoing, now=entrance.now)
        self.settings = SignOnSettings(
            tools,
            outgoing=outgoing,
            providers=providers,
            sealer=Sealer(pepper, purpose="single sign-on", token_bytes=entrance.token_bytes),
            console_address=entrance.console_address,
        )
        proof = DomainProof(outgoing, accepts_invented=outgoing.allows_loopback)
        self.domains = SignOnDomains(tools, proof=proof)
        self.log_ins = SignOnLogIns(
            tools,
            settings=self.settings,
            providers=providers,
            exchange=Exchange(outgoing=outgoing, providers=providers),
            sessions=sessions,
        )
        self.password_rule = PasswordRule(entrance.audit)
