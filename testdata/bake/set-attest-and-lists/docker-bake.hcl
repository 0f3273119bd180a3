target "default" {
  attest = ["type=provenance,mode=max", "type=sbom"]
  annotations = ["a=1"]
  entitlements = ["network.host"]
  ulimits = ["nofile=1:1"]
  no-cache-filter = ["a"]
  output = ["type=image,name=x"]
}
