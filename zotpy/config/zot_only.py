"""Settings that a file of zot may hold and zotpy does not have: those without effect, and those that are refused."""

from zotpy.config.schema import DRIVER

_COLLECTOR = "see gcSettings.interval"
_CLIENT = "zotpy has an S3 client of its own"
WITHOUT_EFFECT = {
    "binaryType": "it describes a build of zot",
    "cluster": "replicas share nothing but the bucket and need not know each other",
    "commit": "what is acknowledged is always durable",
    "distSpecVersion": "zotpy always follows the newest OCI distribution spec",
    "extensions.apikey": "see http.auth.apikey",
    "extensions.events": "zotpy sends no events yet",
    "extensions.imagetrust": "zotpy looks at no signatures",
    "extensions.lint": "zotpy looks at no annotations yet",
    "extensions.mgmt": "zotpy has no page for administrators yet",
    "extensions.scrub": "zotpy fsck checks what is stored, when you run it",
    "extensions.search": "zotpy does not search yet",
    "extensions.sync.downloadDir": "blobs go to the bucket while they come, and to no disk",
    "extensions.trust": "zotpy looks at no signatures",
    "extensions.ui": "zotpy has no pages for browsers yet",
    "extensions.userprefs": "zotpy has no pages for browsers yet",
    "goVersion": "it describes a build of zot",
    "http.auth.secureSession": "zotpy has no sessions of browsers",
    "http.auth.sessionDriver": "zotpy has no sessions of browsers",
    "http.auth.sessionKeysFile": "zotpy has no sessions of browsers",
    "http.allowOrigin": "browsers of other origins are not served",
    "http.compat": "Docker's media types are always accepted",
    "http.readTimeout": "see http.headTimeout and upload.bodyIdleTimeout",
    "http.writeTimeout": "see http.sendStallTimeout",
    "releaseTag": "it describes a build of zot",
    "scheduler": "the only background job is the collector: see gcSettings.interval",
    "storage.cacheDriver": "replicas need no shared cache",
    "storage.commit": "what is acknowledged is always durable",
    "storage.dedupe": "a blob is always kept once, whatever repositories it is in",
    "storage.fastRestart": "a replica reads nothing of its repositories when it starts",
    "storage.gc": _COLLECTOR,
    "storage.gcDelay": "see gcSettings.grace",
    "storage.gcInterval": _COLLECTOR,
    "storage.gcMaxSchedulerDelay": _COLLECTOR,
    "storage.remoteCache": "replicas need no shared cache",
    "storage.subPaths": "all repositories are in one bucket",
    f"{DRIVER}.accelerate": "name the endpoint in regionendpoint instead",
    f"{DRIVER}.chunksize": "see upload.partSize",
    f"{DRIVER}.loglevel": "see log.level",
    f"{DRIVER}.multipartcopychunksize": "nothing is ever copied",
    f"{DRIVER}.multipartcopymaxconcurrency": "nothing is ever copied",
    f"{DRIVER}.multipartcopythresholdsize": "nothing is ever copied",
    f"{DRIVER}.objectacl": "objects are as private as their bucket",
    f"{DRIVER}.storageclass": "objects have the bucket's storage class",
    f"{DRIVER}.useragent": _CLIENT,
    f"{DRIVER}.v4auth": "requests are always signed with version 4",
}
"""Settings of zot that a file may have and that have no effect here, each with the reason."""

REFUSED = {
    "http.auth.bearer.awsSecretsManager": "zotpy reads no keys from there: name a file with the public key in cert",
    "http.auth.bearer.upstreamTokenEndpoint": "zotpy passes no requests on: name the token service in realm",
    "http.ratelimit": "zotpy does not limit rates yet: limit them at the proxy, and remove this",
    "storage.maxRepos": "replicas do not count repositories: let the proxy refuse new names, and remove this",
    f"{DRIVER}.encrypt": "zotpy does not ask for encryption: set the bucket's default encryption, and remove this",
    f"{DRIVER}.keyid": "zotpy does not ask for encryption: set the bucket's default encryption, and remove this",
}
"""Settings of zot that protect something, so ignoring them would do harm. They are refused if they ask for anything."""
