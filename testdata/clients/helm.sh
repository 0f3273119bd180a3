#!/usr/bin/env bash
# helm: charts as artifacts; a plus sign in a version becomes an underscore in the tag; version ranges read the tag list.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need helm curl jq
describe_peer() { echo "helm $(helm version --short)"; }
with_registry

export HELM_CONFIG_HOME=$WORK/config HELM_CACHE_HOME=$WORK/cache HELM_DATA_HOME=$WORK/data
mkdir -p "$WORK/chart/templates" "$WORK/parent" "$WORK/pulled"
chart() { printf 'apiVersion: v2\nname: greeter\nversion: %s\n' "$1" >"$WORK/chart/Chart.yaml"; }
printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: greeting}\ndata: {text: hello from helm}\n' >"$WORK/chart/templates/map.yaml"
where=oci://$REGISTRY/helm

for version in 1.0.0 1.1.0 2.0.0+build.7; do
  chart "$version"
  check "package $version" helm package "$WORK/chart" -d "$WORK"
  check "push $version" helm push --plain-http "$WORK/greeter-$version.tgz" "$where"
done
said "push names the digest" "$(header_digest helm/greeter 2.0.0_build.7)" sh -c "helm push --plain-http '$WORK/greeter-2.0.0+build.7.tgz' '$where' 2>&1"
check "pull a version" helm pull --plain-http "$where/greeter" --version 1.0.0 -d "$WORK/pulled"
check "the same bytes" cmp "$WORK/greeter-1.0.0.tgz" "$WORK/pulled/greeter-1.0.0.tgz"
said "newest in a range" "version: 1.1.0" helm show chart --plain-http "$where/greeter" --version '^1.0.0'
said "a version with a plus" "version: 2.0.0+build.7" helm show chart --plain-http "$where/greeter" --version 2.0.0+build.7
check "pull by digest" helm pull --plain-http "$where/greeter@$(header_digest helm/greeter 1.1.0)" -d "$WORK/pulled"
said "render from the registry" "hello from helm" helm template --plain-http release "$where/greeter" --version 1.1.0
refused "an unknown version is refused" helm pull --plain-http "$where/greeter" --version 9.9.9 -d "$WORK/pulled"

# helm has no command that deletes in a registry (`helm registry` knows login and logout), so the registry is asked directly.
gone=$(header_digest helm/greeter 1.1.0)
delete_over_http "delete a version" helm/greeter 1.1.0
not_found "the deleted version is not found" "helm/greeter:1.1.0: not found" \
  helm pull --plain-http "$where/greeter" --version 1.1.0 -d "$WORK/pulled"
said "the range ends before it" "version: 1.0.0" helm show chart --plain-http "$where/greeter" --version '^1.0.0'
check "its chart is pulled by digest" helm pull --plain-http "$where/greeter@$gone" -d "$WORK/pulled"
delete_over_http "delete the chart" helm/greeter "$gone"
not_found "the deleted chart is not found" "helm/greeter@$gone: not found" \
  helm pull --plain-http "$where/greeter@$gone" -d "$WORK/pulled"
finish
