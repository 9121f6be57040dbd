// An identity provider on loopback, for tests: one client, `job`, gets access tokens as JWTs (RFC 9068) for the audience
// that it names as `resource` (RFC 8707). Two others get ID tokens of people by the device flow (RFC 8628); a person is
// whoever types a name. Each start has a key of its own, so a restart is a rotation of keys.
//
//     node main.mjs PORT
import { exportJWK, generateKeyPair } from "jose";
import { randomUUID } from "node:crypto";
import { Provider } from "oidc-provider";

const LIFETIME_S = 300;
const port = Number(process.argv[2]);
const { privateKey } = await generateKeyPair("ES256", { extractable: true });
const key = { ...(await exportJWK(privateKey)), alg: "ES256", use: "sig", kid: randomUUID() };

const device = (id) => ({
  client_id: id,
  client_secret: "secret",
  grant_types: ["urn:ietf:params:oauth:grant-type:device_code"],
  redirect_uris: [],
  response_types: [],
  id_token_signed_response_alg: "ES256",
});

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
    device("https://registry.example.com"),
    device("https://elsewhere.example.com"),
  ],
  claims: { openid: ["sub"], email: ["email", "email_verified"], groups: ["groups"] },
  conformIdTokenClaims: false,
  cookies: { keys: [randomUUID()] },
  findAccount: (_context, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: id, email_verified: !id.startsWith("unverified"), groups: ["devs"] }),
  }),
  jwks: { keys: [key] },
  ttl: { ClientCredentials: LIFETIME_S },
  extraTokenClaims: () => ({ repository_owner: "acme" }),
  features: {
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
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
