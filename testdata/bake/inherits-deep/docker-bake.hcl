target "a" {
  context = "a"
  secret = ["id=s,env=A", "id=t"]
  attest = ["type=sbom"]
}
target "b" {
  inherits = ["a"]
  secret = ["id=s,env=B"]
  attest = ["type=sbom,disabled=true", "type=provenance"]
}
target "default" { inherits = ["b"] }
