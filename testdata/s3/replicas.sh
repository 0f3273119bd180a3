#!/usr/bin/env bash
# Two replicas that share nothing but a bucket: behind a plain TCP balancer they pass the official conformance suite; they race on tags;
# and they are killed at random moments.
#
#   KILLED_ROUNDS   rounds of kill -9 (default: 8; before a release, KILLED_ROUNDS=200, a quarter of an hour)
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3 curl minio conformance
WHARF=$(find_wharf)
[[ -n $WHARF ]] || { echo "not ok - $SCRIPT: no wharf binary: build one or set WHARF"; echo "0 passed, 1 failed"; exit 1; }
s3_service minio
HERE=$TOP/testdata/s3
export HOME=$WORK XDG_CACHE_HOME=$WORK/cache PYTHONDONTWRITEBYTECODE=1 AWS_REGION=us-east-1
at() { export WHARF_STORE="s3://$BUCKET/$1?endpoint=$S3_ENDPOINT"; }

# counted NAME COMMAND...: its last line is `N passed, M failed[, …]`; both are added to ours.
counted() {
  local name=$1 good bad
  shift
  echo "--- $name"
  "$@" >"$WORK/out" 2>&1 </dev/null || true
  read -r good bad < <(grep -oE '^[0-9]+ passed, [0-9]+ failed' "$WORK/out" | tail -n 1 | tr -cd '0-9 \n') || true
  [[ -n ${bad:-} ]] || { good=0 bad=1; }
  ((bad == 0)) || tail -n 40 "$WORK/out" | sed 's/^/    /'
  tail -n 2 "$WORK/out"
  PASSED=$((PASSED + good)) FAILED=$((FAILED + bad))
}

at replicas
replicas=()
for name in first second; do
  address=127.0.0.1:$(free_port)
  daemon "$name" "$WHARF" serve --listen "$address"
  wait_for "$name" 30 curl -fsS "http://$address/v2/"
  replicas+=("$address")
done
balancer=$(free_port)
daemon balancer python3 "$HERE/balancer.py" "$balancer" "${replicas[@]}"
wait_for balancer 30 curl -fsS "http://127.0.0.1:$balancer/v2/"

counted "the official suite, through the balancer" \
  env REGISTRY="127.0.0.1:$balancer" RESULTS="${RESULTS:-$TOP/target/ci/conformance-replicas}" bash "$TOP/.ci/conformance.sh"
counted "races on tags" python3 "$HERE/race.py" "${replicas[@]}"
said "the store is in order" "checked" "$WHARF" fsck
at killed
counted "kill -9 at random moments" python3 "$HERE/killed.py" "$WHARF" "${KILLED_ROUNDS:-8}"
finish
