#!/usr/bin/env bash
# One request of ten to the bucket goes wrong (500, 503, no answer, half an answer), while clients push through a replica that sees only
# this. Another replica, which sees the bucket as it is, has everything that was acknowledged, whole.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3 curl minio
WHARF=$(find_wharf)
[[ -n $WHARF ]] || { echo "not ok - $SCRIPT: no wharf binary: build one or set WHARF"; echo "0 passed, 1 failed"; exit 1; }
s3_service minio
export HOME=$WORK XDG_CACHE_HOME=$WORK/cache PYTHONDONTWRITEBYTECODE=1 AWS_REGION=us-east-1
faulty() { python3 "$TOP/testdata/s3/faulty.py" "$@"; }
# replica NAME ENDPOINT: its address is in REPLICA.
replica() {
  REPLICA=127.0.0.1:$(free_port)
  daemon "$1" "$WHARF" serve --listen "$REPLICA" --store "s3://$BUCKET/faulty?endpoint=$2"
  wait_for "$1" 90 curl -fsS "http://$REPLICA/v2/"
}
replica good "$S3_ENDPOINT" && GOOD=$REPLICA
PROXY=$(free_port)
daemon proxy python3 "$TOP/testdata/s3/faulty.py" proxy "$PROXY" "${S3_ENDPOINT#http://}" "$WORK/counts"
wait_for proxy 30 bash -c ": </dev/tcp/127.0.0.1/$PROXY"
replica registry "http://127.0.0.1:$PROXY" && BAD=$REPLICA

check "clients push through a bad network" faulty push "$BAD" "$WORK/state"
cat "$WORK/out"
check "the other replica has what was acknowledged" faulty pull "$GOOD" "$WORK/state" "$WORK/counts"
cat "$WORK/out"
check "so has the one that sees badly" faulty pull "$BAD" "$WORK/state" "$WORK/counts"
export WHARF_STORE="s3://$BUCKET/faulty?endpoint=$S3_ENDPOINT"
said "the store is in order" "checked" "$WHARF" fsck
finish
