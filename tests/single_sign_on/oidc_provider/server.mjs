// A certified OpenID provider on this machine: whoever logs in as NAME is NAME@DOMAIN.
// node server.mjs MODULES PORT REDIRECT_URI CLIENT_ID CLIENT_SECRET DOMAIN
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, port, redirectUri, clientId, clientSecret, domain] = process.argv.slice(2);
// The packages are in a cache beside which no program of ours is.
const found = createRequire(join(modules, "here.js")).resolve("oidc-provider");
const { Provider } = await import(pathToFileURL(found).href);

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: clientId,
      client_secret: clientSecret,
      redirect_uris: [redirectUri],
      grant_types: ["authorization_code"],
      response_types: ["code"],
    },
  ],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
  cookies: { keys: [randomBytes(32).toString("hex")] },
  features: { devInteractions: { enabled: true } },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@${domain}`, email_verified: true, name: id }),
  }),
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), kid: "key-1", use: "sig", alg: "RS256" }] },
  pkce: { required: () => true },
});

provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
