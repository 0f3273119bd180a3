#!/usr/bin/env bash
# Docker's policies, as an oracle: the tests of every case here are run by `docker buildx policy test` and by `wharf policy test`,
# and both must give the same verdicts, decisions and messages, and end alike. Cases that Docker cannot run, as they need a builder
# or do more than it can, have a file `unlike` that says why.
#
# A case is a directory with a policy, `Dockerfile.rego`, files of tests, and `expected`, which is what Wharf prints;
# UPDATE_EXPECT=1 cargo test -p wharf --test builds policies writes it.
#
#   testdata/policy/compare.sh [CASE...]
source "$(dirname "${BASH_SOURCE[0]}")/../clients/lib.sh"
need buildx
describe_peer() { buildx version; }
WHARF=$(realpath "$(find_wharf)")
cd "$TOP/testdata/policy"

# verdicts OUT COMMAND...: the lines of tests, without what is shown of those that fail.
verdicts() {
  local out=$1 ended=0
  shift
  (cd "$name" && env -i PATH="$PATH" HOME="$WORK" "$@" policy test .) >"$out.all" 2>"$out.err" </dev/null || ended=$?
  grep '^test_' "$out.all" >"$out" || true
  echo "ends with $ended" >>"$out"
}

cases=("$@")
((${#cases[@]} > 0)) || cases=(*/)
for name in "${cases[@]}"; do
  name=${name%/}
  verdicts "$WORK/wharf" "$WHARF"
  verdicts "$WORK/buildx" buildx
  if [[ -f $name/unlike ]] || diff -u "$WORK/buildx" "$WORK/wharf"; then
    PASSED=$((PASSED + 1))
  else
    FAILED=$((FAILED + 1))
    echo "$name: they do not agree"
    tail -n 3 "$WORK/buildx.err" "$WORK/wharf.err"
  fi
done
finish
