#!/usr/bin/env bash
# The official OCI distribution conformance suite against `wharf serve`. Its reports are kept in $RESULTS.
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$TOP/testdata/clients/lib.sh"
need conformance curl
RESULTS=${RESULTS:-$TOP/target/ci/conformance}
with_registry

rm -rf "$RESULTS"
mkdir -p "$RESULTS"
status=0
# It writes its reports where it stands.
(cd "$RESULTS" && env OCI_ROOT_URL="http://$REGISTRY" OCI_NAMESPACE=conformance/one OCI_CROSSMOUNT_NAMESPACE=conformance/two \
  OCI_TEST_PULL=1 OCI_TEST_PUSH=1 OCI_TEST_CONTENT_DISCOVERY=1 OCI_TEST_CONTENT_MANAGEMENT=1 OCI_AUTOMATIC_CROSSMOUNT=1 \
  OCI_HIDE_SKIPPED_WORKFLOWS=0 conformance) >"$RESULTS/log" 2>&1 || status=$?

[[ -s $RESULTS/junit.xml ]] || { tail -n 30 "$RESULTS/log"; echo "0 passed, 1 failed"; exit 1; }
# No match is a zero, not an error.
count() { { grep -o "$1" "$RESULTS/junit.xml" || true; } | wc -l; }
total=$(count '<testcase ')
failed=$(count '<failure ')
skipped=$(count '<skipped')
# Never green by an exit code nobody explains.
((status != 0 && failed == 0)) && failed=1
if ((failed > 0)); then
  sed 's/\x1b\[[0-9;]*m//g' "$RESULTS/log" | grep -B 2 -A 12 '\[FAIL\]\|\[FAILED\]' | head -n 120 || true
fi
echo "skipped:"
{ grep -B 1 '<skipped' "$RESULTS/junit.xml" || true; } | sed -n 's/.*<testcase name="\([^"]*\)".*/  \1/p'
echo "report: $RESULTS/report.html"
echo "$((total - failed - skipped)) passed, $failed failed, $skipped skipped"
((failed == 0))
