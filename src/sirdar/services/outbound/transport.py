"""An httpx transport that connects to checked addresses only, whatever a name resolves to later."""

import functools
import ssl

import httpx

from sirdar.services.outbound.addresses import AddressPolicy, Target

USER_AGENT = "sirdar"


class PinnedTransport(httpx.AsyncBaseTransport):
    """Checks each request's address and sends it to exactly the checked one.

    The request's URL gets the address in place of the name; the Host header and, with TLS, the name that is asked for
    and verified stay the URL's. Connections are not kept: two names may share an address, and a connection that was
    verified for one must not carry a request for the other.
    """

    def __init__(self, policy: AddressPolicy, *, tls: ssl.SSLContext | None = None) -> None:
        self._policy = policy
        self._inner = httpx.AsyncHTTPTransport(
            verify=tls or default_tls(), trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        target = await self._policy.check(request.url)
        refusal: httpx.TransportError | None = None
        for address in target.addresses:
            try:
                return await self._inner.handle_async_request(_readdressed(request, target, address))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                refusal = error
        raise refusal or httpx.ConnectError(f"no address of {target.host} answers", request=request)

    async def aclose(self) -> None:
        await self._inner.aclose()


def http_client(policy: AddressPolicy, *, timeout_s: float, tls: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    """An HTTP client under the policy. It follows no redirects by itself, and knows nothing of proxies or netrc.

    ``timeout_s`` bounds each wait (connection, next bytes), not the whole.
    """
    return httpx.AsyncClient(
        transport=PinnedTransport(policy, tls=tls),
        timeout=httpx.Timeout(timeout_s),
        trust_env=False,
        follow_redirects=False,
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
    )


@functools.cache
def default_tls() -> ssl.SSLContext:
    """The context of all connections: making one reads every certificate authority, which takes tens of milliseconds."""
    return httpx.create_ssl_context()


def _readdressed(request: httpx.Request, target: Target, address: str) -> httpx.Request:
    headers = request.headers.copy()
    headers["Host"] = target.url.netloc.decode("ascii")
    return httpx.Request(
        request.method,
        target.url.copy_with(host=address),
        headers=headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": target.host},
    )
