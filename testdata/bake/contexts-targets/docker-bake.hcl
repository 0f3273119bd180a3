target "base" {
  entitlements = ["network.host"]
  output = ["type=docker"]
}
target "mid" { contexts = { base = "target:base" } }
target "default" { contexts = { mid = "target:mid", gone = "" } }
