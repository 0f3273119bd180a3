#!/usr/bin/env bash
# Rounds of concurrent pushes, deletes, rollbacks and collections, each ended by kill -9 at a random moment; then every acknowledged image
# pulls, digests match and `wharf fsck` is content. `killed.sh [ROUNDS]`, 200 by default; prints `N passed, M failed`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
rounds=${1:-200}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
WHARF_FAULT_ROUNDS=$rounds cargo test --quiet --package wharf --test faults -- --nocapture killed:: >"$log" 2>&1 || status=$?
passed=$(grep -c '^round [0-9]* passed$' "$log" || true)
failed=$((rounds - passed))
# The rounds may all be good and the end not.
if ((status != 0 && failed == 0)); then failed=1; fi
if ((failed > 0)); then grep -v '^round ' "$log" | tail -n 60; fi
echo "$passed passed, $failed failed"
((failed == 0))
