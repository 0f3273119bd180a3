#!/usr/bin/env bash
# Docker's bake, as an oracle: every case here is printed by `docker buildx bake --print` and by `wharf bake --print`, and both
# must print the same, byte for byte. Cases whose names begin with `fails-` must fail with both, but for those that Wharf refuses
# on purpose: their file `stricter` says why.
#
# A case is a directory: bake files, `arguments` (one a line), `environment` (NAME=VALUE, one a line), and `expected`, which is
# what Wharf prints; UPDATE_EXPECT=1 cargo test -p wharf --test builds bake writes it.
#
#   testdata/bake/compare.sh [CASE...]
source "$(dirname "${BASH_SOURCE[0]}")/../clients/lib.sh"
need buildx
describe_peer() { buildx version; }
WHARF=$(realpath "$(find_wharf)")
cd "$TOP/testdata/bake"

# shown OUT COMMAND...: runs it in the case, with the case's arguments and environment alone.
shown() {
  local out=$1
  shift
  (cd "$name" && env -i PATH="$PATH" HOME="$WORK" "${environment[@]}" "$@" "${arguments[@]}") >"$out" 2>"$out.err" </dev/null
}

failed() {
  FAILED=$((FAILED + 1))
  echo "$name: $1"
}

cases=("$@")
((${#cases[@]} > 0)) || cases=(*/)
for name in "${cases[@]}"; do
  name=${name%/} arguments=() environment=() ours=0 theirs=0
  if [[ -f $name/arguments ]]; then mapfile -t arguments <"$name/arguments"; fi
  if [[ -f $name/environment ]]; then mapfile -t environment <"$name/environment"; fi
  if [[ ${arguments[*]-} != *--list* ]]; then arguments=(--print "${arguments[@]}"); fi
  shown "$WORK/wharf" "$WHARF" bake || ours=$?
  shown "$WORK/buildx" buildx bake || theirs=$?
  if [[ $name == fails-* ]]; then
    if ((ours == 0)); then
      failed "Wharf prints it"
    elif ((theirs == 0)) && [[ ! -f $name/stricter ]]; then
      failed "Docker prints it"
    else
      PASSED=$((PASSED + 1))
    fi
  elif ((ours != 0)); then
    failed "Wharf ends with $ours"
    cat "$WORK/wharf.err"
  elif ((theirs != 0)) && [[ ! -f $name/unlike ]]; then
    failed "Docker ends with $theirs"
    tail -n 3 "$WORK/buildx.err"
  elif [[ ! -f $name/unlike ]] && ! diff -u "$WORK/buildx" "$WORK/wharf"; then
    failed "they print different things"
  else
    PASSED=$((PASSED + 1))
  fi
done
finish
