#!/usr/bin/env bash
# cosign: signs an image as a referrer (a manifest with a subject, pushed by digest) and verifies it from the registry alone. No
# transparency log and no trust root from outside: the key pair is made here.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need cosign crane busybox jq curl
describe_peer() { echo "cosign $(cosign version --json 2>/dev/null | jq -r .gitVersion)"; }
with_registry

export COSIGN_PASSWORD=fixture HOME=$WORK TUF_ROOT=$WORK/tuf
digest=$(fixture "$WORK/app" v1 "hello from cosign")
crane push "$WORK/app" "$REGISTRY/cosign/app:v1" >/dev/null 2>&1
image=$REGISTRY/cosign/app@$digest
(cd "$WORK" && cosign generate-key-pair >/dev/null 2>&1)
(cd "$WORK" && cosign generate-key-pair --output-key-prefix other >/dev/null 2>&1)
printf '{"signed":"by the fixture"}' >"$WORK/predicate.json"

# An empty signing configuration: no transparency log, no timestamp authority.
check "make a signing configuration" cosign signing-config create --out "$WORK/signing.json"
sign=(--yes --allow-http-registry --key "$WORK/cosign.key" --signing-config "$WORK/signing.json")
verify=(--allow-http-registry --insecure-ignore-tlog=true)

refused "unsigned: verification fails" cosign verify "${verify[@]}" --key "$WORK/cosign.pub" "$image"
check "sign" cosign sign "${sign[@]}" "$image"
equal "one referrer" 1 "$(curl -fsS "http://$REGISTRY/v2/cosign/app/referrers/$digest" | jq '.manifests | length')"
equal "no fallback tag" 404 "$(status GET "/v2/cosign/app/manifests/${digest/:/-}")"
said "verify by digest" "$digest" cosign verify "${verify[@]}" --key "$WORK/cosign.pub" "$image"
said "verify by tag" "$digest" cosign verify "${verify[@]}" --key "$WORK/cosign.pub" "$REGISTRY/cosign/app:v1"
refused "another key does not verify" cosign verify "${verify[@]}" --key "$WORK/other.pub" "$image"
check "attest" cosign attest "${sign[@]}" --type custom --predicate "$WORK/predicate.json" "$image"
said "verify the attestation" payload cosign verify-attestation "${verify[@]}" --type custom --key "$WORK/cosign.pub" "$image"
equal "two referrers" 2 "$(curl -fsS "http://$REGISTRY/v2/cosign/app/referrers/$digest" | jq '.manifests | length')"

# The older way: a tag made of the digest. `clean` deletes both kinds.
check "sign the older way" cosign sign --yes --allow-http-registry --key "$WORK/cosign.key" --new-bundle-format=false --use-signing-config=false --tlog-upload=false "$image"
equal "it is a tag" 200 "$(status GET "/v2/cosign/app/manifests/${digest/:/-}.sig")"
check "clean" cosign clean -f --allow-http-registry "$image"
equal "no referrer is left" 0 "$(curl -fsS "http://$REGISTRY/v2/cosign/app/referrers/$digest" | jq '.manifests | length')"
equal "no tag is left" 404 "$(status GET "/v2/cosign/app/manifests/${digest/:/-}.sig")"
not_found "cleaned: verification fails" "no signatures found" cosign verify "${verify[@]}" --key "$WORK/cosign.pub" "$image"
equal "the image is untouched" "$digest" "$(header_digest cosign/app v1)"
finish
