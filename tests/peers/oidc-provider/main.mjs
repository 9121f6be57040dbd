// An identity provider on loopback, for tests: one client, `job`, gets access tokens as JWTs (RFC 9068) for the audience
// that it names as `resource` (RFC 8707). Each start has a key of its own, so a restart is a rotation of keys.
//
//     node main.mjs PORT
import { exportJWK, generateKeyPair } from "jose";
import { randomUUID } from "node:crypto";
import { Provider } from "oidc-provider";

const LIFETIME_S = 300;
const port = Number(process.argv[2]);
const { privateKey } = await generateKeyPair("ES256", { extractable: true });
const key = { ...(await exportJWK(privateKey)), alg: "ES256", use: "sig", kid: randomUUID() };

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: "job",
      client_secret: "secret",
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
      id_token_signed_response_alg: "ES256",
    },
  ],
  jwks: { keys: [key] },
  ttl: { ClientCredentials: LIFETIME_S },
  extraTokenClaims: () => ({ repository_owner: "acme" }),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_context, resource) => ({
        scope: "",
        audience: resource,
        accessTokenFormat: "jwt",
        jwt: { sign: { alg: "ES256" } },
      }),
    },
  },
});
provider.listen(port, "127.0.0.1");
